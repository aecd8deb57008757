"""A whole update of a device with a real service manager: poll, stream, slot, restart, trial, health, confirmation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.nspawn.device import Device
from support.nspawn.machine import Machine
from support.nspawn.system import System

from agent.journal import MESSAGE_IDS

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.req("S01")
def test_an_update_ends_with_a_confirmed_new_system_that_the_journal_explains(
    make_device: Callable[..., Device],
) -> None:
    device = make_device()
    device.power_on()
    action = device.deploy(System("2.0.0"))
    assert device.wait_ended(action) == "FINISHED", device.messages(action)
    assert (device.started, device.version) == (["A", "B"], "2.0.0")
    assert "OTA_TRIAL" not in device.variables
    device.wait_state("idle")
    entries = device.machine.journal("_SYSTEMD_UNIT=ota-agent.service")
    states = [entry["OTA_STATE"] for entry in entries if "OTA_STATE" in entry]
    assert [state for state in states if state in ("staging", "rebooting", "confirming", "reporting")] == [
        "staging", "rebooting", "confirming", "reporting",
    ]  # fmt: skip
    for entry in entries:
        if "OTA_STATE" in entry:
            assert entry["MESSAGE_ID"] == MESSAGE_IDS[entry["OTA_STATE"]]
    (written,) = device.machine.journal(f"MESSAGE_ID={MESSAGE_IDS['staging']}")
    assert fields(written) == {
        "OTA_STATE": "staging", "OTA_ACTION_ID": action, "OTA_BUNDLE_VERSION": "2.0.0", "OTA_SLOT": "B",
    }  # fmt: skip
    assert "Version 2.0.0 is written to slot B, which is not in use." in explained(device.machine, "staging")


def fields(entry: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in entry.items() if name.startswith("OTA_") and name != "OTA_LOGGER"}


def explained(machine: Machine, event: str) -> str:
    """What journalctl says of an event with the help of the catalog."""
    text = machine.run("journalctl", "--catalog", "--no-pager", f"MESSAGE_ID={MESSAGE_IDS[event]}")
    return text.replace("\n-- ", "\n")


def test_a_restart_goes_through_logind_and_waits_for_what_blocks_it_but_not_for_ever(
    make_device: Callable[..., Device],
) -> None:
    device = make_device(settings={"update.reboot-blocked": 1})
    device.power_on()
    hold = ["systemd-inhibit", "--what=shutdown", "--mode=block", "--who=shop", "--why=counting", "sleep", "infinity"]
    device.machine.run("systemd-run", "--quiet", "--unit=holder", *hold)
    device.wait_for(lambda: "shop" in device.machine.run("systemd-inhibit", "--list"), "the lock is taken")
    device.deploy(System("2.0.0"))
    device.wait_for(lambda: device.started == ["A", "B"], "the restart")
    said = device.machine.said("_SYSTEMD_UNIT=ota-agent.service")
    assert "the restart waits, at most 1 s, for shop: counting" in said
    assert "the device restarts although this is blocked by shop: counting" in said
    assert "System is rebooting" in device.machine.said("_SYSTEMD_UNIT=systemd-logind.service")
