"""rauc-hawkbit-updater's test_cancel.py, asked of ota-agent. What differs: docs/interop.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.parity import Device, parity_device, words
from support.shelf import half_written

from agent.demo.factory import Timing
from agent.demo.images import MIB
from agent.demo.server_faults import Fault
from agent.demo.world import sha256


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with parity_device(tmp_path_factory.mktemp("cancel"), timing=Timing(soak=1.5)) as device:
        yield device


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["download", "streaming"])
def test_cancel_before_poll(device: Device, mode: str) -> None:
    """The same."""
    world, server = device.world, device.world.server
    world.board.power_cut()
    before = world.slot_sha256("A"), world.slot_sha256("B"), world.environment()
    action_id = device.assign(device.bundle(mode))
    server.cancel(action_id)
    requests = len(server.requests("/artifacts/"))
    world.board.power_on()
    last = device.ended(action_id)
    assert last.type == "CANCELED"
    assert words(last)[0].endswith("installed for this action")
    assert not server.state.find_action(action_id).active
    assert len(server.requests("/artifacts/")) == requests
    assert (world.slot_sha256("A"), world.slot_sha256("B"), world.environment()) == before


@pytest.mark.timeout(180)
def test_cancel_during_download(device: Device) -> None:
    """A plain bundle that is still being fetched: acknowledged within seconds, nothing of it stays."""
    world, server = device.world, device.world.server
    bundle = device.bundle("download")
    before = world.slot_sha256("A"), world.slot_sha256("B"), world.environment()
    server.faults.throttle(bundle.stat().st_size // 60)
    action_id = device.assign_now(bundle)
    world.wait_for(lambda: any((world.directory / "state").glob("spool-*")), 30, "the download has begun")
    server.cancel(action_id)
    try:
        world.wait_for(lambda: server.action_status(action_id) == "CANCELED", 45, "the cancellation is acknowledged")
    finally:
        server.faults.clear()
    last = device.ended(action_id)
    assert last.type == "CANCELED"
    assert words(last)[0].startswith("the update was given up before the switch")
    assert not any((world.directory / "state").glob("spool-*"))
    assert (world.slot_sha256("A"), world.slot_sha256("B"), world.environment()) == before


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["download", "streaming"])
def test_cancel_during_install(device: Device, mode: str) -> None:
    """There an installation cannot be given up. Here it can, while the slot is written; once the new system was chosen it
    cannot, and the action ends as the update that it is.
    """
    world, server = device.world, device.world.server
    running = world.running.bootname, world.slot_sha256(world.running.bootname)
    bundle = device.bundle(mode)
    server.faults.add(Fault(delay=0.3, times=99))  # each request of the download takes its time
    action_id = device.assign_now(bundle)
    world.wait_for(lambda: world.state == "staging", 30, "the slot is being written")
    server.cancel(action_id)
    server.faults.clear()
    assert device.ended(action_id).type == "CANCELED"
    assert (world.running.bootname, world.slot_sha256(world.running.bootname)) == running
    assert half_written(world)

    action_id = device.assign_now(bundle)
    world.wait_for(lambda: world.state == "trial", 30, "the new system is on trial")
    server.cancel(action_id)
    last = device.ended(action_id)
    assert last.type == "FINISHED", world.messages(action_id)
    assert server.action_status(action_id) == "FINISHED"
    assert words(last)[0].endswith("is healthy and confirmed")
    assert world.running.version == bundle.name.partition("-")[0]
    assert world.slot_sha256(world.running.bootname, 8 * MIB) == sha256(device.image(bundle))
