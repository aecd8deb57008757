"""The story of a good update, which is the same on every board."""

from __future__ import annotations

from boot.lab.device import Device
from boot.lab.system import System

_STATES = ("staging", "rebooting", "confirming", "reporting")  # those that have something to tell


def is_updated(device: Device, system: System) -> None:
    """A device that is switched off boots, is given a system by its server, and confirms it."""
    device.power_on()
    assert (device.busctl("get-property", "CurrentVersion"), device.version) == ("1.0.0", "1.0.0")

    action = device.deploy(system)
    assert device.wait_ended(action) == "FINISHED", device.messages(action)
    assert device.started == ["A", "B"]
    assert device.slot_holds("B", system.version)
    device.up()
    device.wait_for(lambda: device.busctl("get-property", "State") == "idle", "the agent is idle")
    assert (device.busctl("get-property", "CurrentVersion"), device.version) == (system.version, system.version)
    assert device.busctl("get-property", "LastResult")[0] == "success"
    assert _states(device) == list(_STATES)
    assert "System is rebooting" in _said(device, "_SYSTEMD_UNIT=systemd-logind.service")


def _states(device: Device) -> list[str]:
    """The states of the update that have a story to tell, as the journal has them."""
    told = [entry["OTA_STATE"] for entry in device.journal("_SYSTEMD_UNIT=ota-agent.service") if "OTA_STATE" in entry]
    return [state for state in dict.fromkeys(told) if state in _STATES]


def _said(device: Device, *matches: str) -> str:
    """The messages in the journal; arguments as for journalctl(1)."""
    return "\n".join(str(entry.get("MESSAGE")) for entry in device.journal(*matches))
