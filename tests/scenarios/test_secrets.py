"""Nothing that a device says or keeps holds its token, its key or its password, however much it is asked to say."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest
from support.shelf import Shelf, offer, trust
from support.tunnel import http_proxy

from agent.demo.server_faults import Fault
from agent.demo.world import World

TALKATIVE = Path(__file__).parents[1] / "support" / "talkative.py"
LOGIN = "device:a-password-for-the-proxy"


def everything_said(world: World, action: str) -> str:
    """Log, state, message bus and what the server was told; not the configuration and the secrets' own files."""
    state = world.directory / "state"
    texts = [file.read_text("utf-8", "replace") for file in state.rglob("*.json")]
    said = [world.board.log.read_text("utf-8", "replace"), str(dict(world.properties())), world.messages(action)]
    return "\n".join([*said, *texts])


@pytest.mark.timeout(120)
@pytest.mark.req("C10", "T25")
def test_neither_token_nor_password_is_in_anything_that_a_talkative_device_says(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    with http_proxy(LOGIN) as proxy:
        overrides = {
            "server.proxy": proxy.url, "server.proxy-auth-file": "login", "update.attempts": 2,
            "update.retry-delay": 0.05, "server.read-timeout": 3,
        }  # fmt: skip
        world = trust(World(tmp_path / "world", size=8, overrides=overrides, bus=True))
        world.board.program = [sys.executable, str(TALKATIVE)]
        login, token = tmp_path / "world" / "login", (tmp_path / "world" / "token").read_text().strip()
        login.touch(0o600)
        login.write_text(LOGIN + "\n")
        with world:
            world.wait_settled()
            for fault in (
                Fault(path="/artifacts/", status=401), Fault(path="/artifacts/", drop_after=10_000),
                Fault(path="/artifacts/", status=302, headers={"Location": "http://127.0.0.1:1/"}),
            ):  # fmt: skip
                world.server.faults.add(fault)
            action = offer(world, shelf.bundle("2.0.0"), "2.0.0")
            world.wait_ended(action)
            world.wait_idle()
            said = everything_said(world, action)
        assert "debug: Starting new HTTPS connection" in said  # the libraries were talkative, too
        assert "net." in said
        assert len(proxy.heads) > 3
        for secret in (token, LOGIN.split(":")[1], base64.b64encode(LOGIN.encode()).decode()):
            assert secret not in said
