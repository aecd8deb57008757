"""rauc-hawkbit-updater's test_mtls.py, asked of ota-agent. What differs: docs/interop.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.parity import Device, parity_device, words

from agent.demo.factory import CONTROLLER
from agent.demo.images import MIB
from agent.demo.server import DevServer
from agent.demo.server_tls import Authority
from agent.demo.world import World, sha256

KEYS = "device-keys"


def known_by_certificate(world: World) -> DevServer:
    """A server that lets nobody in without a certificate; the device gets one, in its name, and no token."""
    authority = Authority(world.directory / KEYS, "Acme Devices")
    authority.for_device(CONTROLLER)
    files = world.directory / "tls"
    server = DevServer(cert=files / "server.pem", key=files / "server.key", client_ca=authority.ca)
    server.add_target(CONTROLLER)
    return server


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    overrides = {
        "server.target-token-file": "",
        "server.client-cert": f"{KEYS}/{CONTROLLER}.pem",
        "server.client-key": f"{KEYS}/{CONTROLLER}.key",
    }
    with parity_device(tmp_path_factory.mktemp("mtls"), overrides, server=known_by_certificate) as device:
        yield device


@pytest.mark.timeout(180)
@pytest.mark.req("S01", "T07")
@pytest.mark.parametrize("mode", ["download", "streaming"])
def test_install_success_mtls(device: Device, mode: str) -> None:
    """There the server's certificate was not checked. Here it always is; and with a certificate no token is sent."""
    world, bundle, target = device.world, device.bundle(mode), device.world.other
    last = device.ended(device.assign_now(bundle))
    assert last.type == "FINISHED", last.messages
    assert words(last)[0].endswith("is healthy and confirmed")
    assert (world.running.bootname, world.running.version) == (target, bundle.name.partition("-")[0])
    assert world.slot_sha256(target, 8 * MIB) == sha256(device.image(bundle))
    assert not [request for request in world.server.requests() if "authorization" in request.headers]
