"""A whole device that proves itself by a certificate: the daemon reads it as root, the fetcher uses it as nobody."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.shelf import Shelf, ask_now, offer, trust

from agent.demo.factory import CONTROLLER
from agent.demo.server import DevServer
from agent.demo.server_tls import Authority
from agent.demo.world import World


def certified(tmp_path: Path, authority: Authority) -> World:
    """A device without a token, at a server that lets devices with a certificate of the authority in."""
    overrides: dict[str, object] = {
        "server.target-token-file": "", "server.client-cert": "device.pem", "server.client-key": "device.key",
        "update.retry-delay": 0.05,
    }  # fmt: skip
    world = trust(World(tmp_path / "world", size=8, overrides=overrides))
    world.server.stop()
    tls = world.directory / "tls"
    world.server = DevServer(cert=tls / "server.pem", key=tls / "server.key", client_ca=authority.ca)
    world.server.add_target(CONTROLLER)
    return world


@pytest.mark.timeout(120)
@pytest.mark.root
@pytest.mark.req("S10", "C10")
def test_an_update_needs_no_token_and_the_key_stays_where_only_root_reads_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", "factory")
    identity, bundle = authority.for_device(CONTROLLER), Shelf(tmp_path).bundle("2.0.0")
    world = certified(tmp_path, authority)
    home = world.directory
    shutil.copy(identity.cert, home / "device.pem")
    (home / "device.key").touch(0o600)
    (home / "device.key").write_bytes(identity.key.read_bytes())
    with world:
        world.wait_settled()
        assert world.wait_ended(offer(world, bundle, "2.0.0")) == "FINISHED"
        assert world.running.version == "2.0.0"
        world.wait_idle()
        assert not any("authorization" in seen.headers for seen in world.server.seen)
        key = (home / "device.key").read_text().split("\n")[1]
        log = world.board.log.read_text()
        for file in (home / "state").rglob("*"):
            assert not file.is_file() or key.encode() not in file.read_bytes()
        assert key not in log
        # a renewed pair counts from the next conversation on
        renewed = authority.for_device(CONTROLLER, days=10)
        for name, source in (("device.pem", renewed.cert), ("device.key", renewed.key)):
            (home / name).write_bytes(source.read_bytes())
        before = len(world.server.seen)
        ask_now(world)
        world.wait_for(lambda: len(world.server.seen) > before, 20, "the device asks with its new certificate")
        world.wait_for(lambda: "expires in 9 days" in world.board.log.read_text(), 20, "it warns of its end")
