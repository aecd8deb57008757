"""rauc-hawkbit-updater's test_install.py, asked of ota-agent. What differs: docs/interop.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.parity import Device, parity_device, words

from agent.codes import number
from agent.demo.factory import CONTROLLER
from agent.demo.images import MIB
from agent.demo.world import sha256

LOOK = 512 * 1024  # bytes: signature, manifest and the beginning of the hash tree, for each look at a bundle
MODES = pytest.mark.parametrize("mode", ["download", "streaming"])


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with parity_device(tmp_path_factory.mktemp("install")) as device:
        yield device


@pytest.mark.slow
@pytest.mark.timeout(180)
@MODES
def test_install_bundle_no_dbus_iface(device: Device, mode: str) -> None:
    """There RAUC is called over D-Bus, and without it every update fails. Here no bus is needed."""
    world = device.world
    bundle = device.bundle(mode)
    device.restart({"system.bus": "none"})
    try:
        world.wait_settled()
        assert not world.properties(), "nobody answers on the bus"
        assert device.ended(device.assign_now(bundle)).type == "FINISHED"
    finally:
        device.restart({"system.bus": world.bus})
    assert device.says("ok")["CurrentVersion"] == bundle.name.partition("-")[0]


@pytest.mark.timeout(180)
@pytest.mark.req("S01")
@MODES
def test_install_success(device: Device, mode: str) -> None:
    """There *success* is said when RAUC has written the slot. Here only after the new system booted and is healthy."""
    world = device.world
    boots, target = len(world.board.boots), world.other
    bundle = device.bundle(mode)
    action_id = device.assign_now(bundle)
    world.wait_for(lambda: len(world.board.boots) > boots, 30, "the new system boots")
    assert world.server.state.find_action(action_id).active, "it was written, which is not yet success"
    last = device.ended(action_id)
    assert last.type == "FINISHED", world.messages(action_id)
    assert words(last)[0].endswith(f"runs in slot {target}, is healthy and confirmed")
    assert (world.running.bootname, world.running.version) == (target, bundle.name.partition("-")[0])
    assert world.slot_sha256(target, 8 * MIB) == sha256(device.image(bundle))
    held = world.server.target(CONTROLLER)
    assert held.installed is not None
    assert (held.installed.version, held.update_status) == (world.running.version, "IN_SYNC")


@pytest.mark.timeout(180)
@MODES
def test_install_failure(device: Device, mode: str) -> None:
    """There RAUC says that it failed; here the image is larger than its slot. The server gets a code and advice with it."""
    world = device.world
    boots, before = len(world.board.boots), world.environment()
    action_id = device.assign_now(device.bundle(mode, image=bytes(16 * MIB)))
    last = device.ended(action_id)
    assert last.type == "ERROR"
    assert words(last)[0].startswith("[slot.too-small] ")
    assert any(line.startswith("next: ") for line in words(last))
    assert last.code == number("slot.too-small")
    assert (len(world.board.boots), world.environment()) == (boots, before)


@pytest.mark.slow
@pytest.mark.timeout(180)
@MODES
def test_install_maintenance_window(device: Device, mode: str) -> None:
    """The same: nothing is installed before the window opens, and then nothing is fetched twice."""
    world = device.world
    boots, before = len(world.board.boots), (world.slot_sha256("A"), world.slot_sha256("B"), world.environment())
    bundle = device.bundle(mode)
    action_id = device.assign(bundle, window="unavailable")
    world.wait_for(lambda: world.state == "waiting", 30, "the bundle was looked at, and the window is closed")
    polls = world.server.target(CONTROLLER).polls
    world.wait_for(lambda: world.server.target(CONTROLLER).polls > polls + 1, 30, "the device has asked again")
    assert world.state == "waiting"
    assert (len(world.board.boots), world.slot_sha256("A"), world.slot_sha256("B"), world.environment()) == (
        boots,
        *before,
    )
    size, sent = bundle.stat().st_size, device.sent(bundle)
    assert sent >= size if mode == "download" else sent < size // 4

    world.server.set_window(action_id, "available")
    last = device.ended(action_id)
    assert last.type == "FINISHED", last.messages
    assert world.running.version == bundle.name.partition("-")[0]
    assert device.sent(bundle) <= size + LOOK
