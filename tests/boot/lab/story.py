"""What a device tells of an update afterwards, whatever its board."""

from __future__ import annotations

from boot.lab.device import Device

STATES = ("staging", "rebooting", "confirming", "reporting")  # of an update that is good


def states(device: Device) -> list[str]:
    """The states of the update that have a story to tell, as the journal has them."""
    told = [entry["OTA_STATE"] for entry in device.journal("_SYSTEMD_UNIT=ota-agent.service") if "OTA_STATE" in entry]
    return [state for state in dict.fromkeys(told) if state in STATES]


def said(device: Device, *matches: str) -> str:
    """The messages in the journal; arguments as for journalctl(1)."""
    return "\n".join(str(entry.get("MESSAGE")) for entry in device.journal(*matches))
