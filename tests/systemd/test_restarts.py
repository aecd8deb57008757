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
NO_RESTART = {"update.reboot": False}
# Five seconds in the field.
SOON = {"etc/systemd/system/ota-agent.service.d/soon.conf": "[Service]\nRestartSec=100ms\n"}


def halfway(device: Device) -> None:
    """Lets an update come to its first checkpoint, and stand still there."""
    # Requests for less, before and after this one, go through.
    device.server.faults.add(Fault(stall_after=CHECKPOINT + MIB, path="/artifacts/", times=1000, method="GET"))
    device.deploy(System("2.0.0", noise=9))
    device.wait_for(lambda: checkpoint(device) >= CHECKPOINT, "the first checkpoint")


def checkpoint(device: Device) -> int:
    return sum(device.document("record").get("checkpoints", {}).values())


def installed(device: Device) -> None:
    """Lets the device go on until nothing but a restart is missing, which it leaves to somebody else."""
    device.wait_state("rebooting")
    assert device.variables["BOOT_ORDER"] == "B A"
    assert device.slot_holds("B", "2.0.0")


@pytest.mark.req("S05")
def test_a_daemon_that_was_killed_is_started_again_and_goes_on_where_it_was(make_device: Callable[..., Device]) -> None:
    device = make_device(files=SOON, settings=NO_RESTART)
    device.power_on()
    halfway(device)
    before = len(device.server.requests("/artifacts/"))
    device.machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", UNIT)
    device.wait_for(lambda: device.machine.show(UNIT, "NRestarts") == {"NRestarts": "1"}, "a restart")
    installed(device)
    again = [seen for seen in device.server.requests("/artifacts/")[before:] if seen.sent > MIB]
    assert sum(seen.sent for seen in again) < CHECKPOINT - CHECKPOINT // 2, "what was written is not fetched again"


@pytest.mark.req("S04")
def test_a_power_cut_during_the_installation_costs_only_what_is_behind_the_checkpoint(
    make_device: Callable[..., Device],
) -> None:
    device = make_device(settings=NO_RESTART)
    device.power_on()
    halfway(device)
    before = len(device.server.requests("/artifacts/"))
    device.cut()
    device.power_on()
    assert device.booted == "A"
    installed(device)
    assert sum(seen.sent for seen in device.server.requests("/artifacts/")[before:]) < CHECKPOINT


@pytest.mark.req("S05")
def test_a_daemon_that_hangs_is_ended_by_the_watchdog_and_the_update_goes_on(
    make_device: Callable[..., Device],
) -> None:
    watched = {"etc/systemd/system/ota-agent.service.d/soon.conf": "[Service]\nRestartSec=100ms\nWatchdogSec=4s\n"}
    device = make_device(files=watched, settings=NO_RESTART)
    device.power_on()
    halfway(device)
    device.machine.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", UNIT)
    device.wait_for(lambda: device.machine.show(UNIT, "NRestarts") == {"NRestarts": "1"}, "a restart")
    assert "Failed with result 'watchdog'" in device.machine.said("_PID=1", f"UNIT={UNIT}")
    installed(device)
