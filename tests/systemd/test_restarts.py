"""What systemd and the power do to the daemon while it works, and what becomes of the update."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.nspawn.device import Device
from support.nspawn.system import MIB, System

from agent.demo.server_faults import Fault

pytestmark = [pytest.mark.root, pytest.mark.slow]
UNIT = "ota-agent.service"
CHECKPOINT = 8 * MIB
# Five seconds in the field.
SOON = {"etc/systemd/system/ota-agent.service.d/soon.conf": "[Service]\nRestartSec=100ms\n"}


def halfway(device: Device) -> str:
    """Lets an update come to its first checkpoint, and stand still there; returns the id of the action."""
    device.server.faults.add(Fault(stall_after=CHECKPOINT + MIB, path="/artifacts/", times=1, method="GET"))
    action = device.deploy(System("2.0.0", noise=9))
    device.wait_for(lambda: checkpoint(device) >= CHECKPOINT, "the first checkpoint")
    return action


def checkpoint(device: Device) -> int:
    return sum(device.document("record").get("checkpoints", {}).values())


def finished(device: Device, action: str) -> None:
    assert device.wait_ended(action) == "FINISHED", device.messages(action)
    assert device.version == "2.0.0"


@pytest.mark.req("S05")
def test_a_daemon_that_was_killed_is_started_again_and_goes_on_where_it_was(make_device: Callable[..., Device]) -> None:
    device = make_device(files=SOON)
    device.power_on()
    action = halfway(device)
    before = len(device.server.requests("/artifacts/"))
    device.machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", UNIT)
    device.wait_for(lambda: device.machine.show(UNIT, "NRestarts") == {"NRestarts": "1"}, "a restart")
    finished(device, action)
    again = [seen for seen in device.server.requests("/artifacts/")[before:] if seen.sent > MIB]
    assert sum(seen.sent for seen in again) < CHECKPOINT - CHECKPOINT // 2, "what was written is not fetched again"


@pytest.mark.req("S04")
def test_a_power_cut_during_the_installation_costs_only_what_is_behind_the_checkpoint(
    make_device: Callable[..., Device],
) -> None:
    device = make_device()
    device.power_on()
    action = halfway(device)
    before = len(device.server.requests("/artifacts/"))
    device.cut()
    device.power_on()
    assert device.booted == "A"
    finished(device, action)
    assert sum(seen.sent for seen in device.server.requests("/artifacts/")[before:]) < CHECKPOINT
