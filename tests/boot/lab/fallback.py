"""The story of an update that does not stay, which is the same on every board but for the words of the boot environment."""

from __future__ import annotations

from collections.abc import Mapping

from boot.lab.boards import ATTEMPTS, BOOTNAMES
from boot.lab.device import Device
from boot.lab.system import System


def falls_back(device: Device, bad: System, code: str, tries: int = ATTEMPTS) -> str:
    """A device is given a system that does not work, and comes back from it; returns what it has told its server.

    Args:
        device: idle, in a system that is confirmed; it is left so.
        bad: the system.
        code: of the reason that the server is told, and that D-Bus shows.
        tries: how often the bootloader starts the system.
    """
    running, version, before = device.busctl("get-property", "Slot"), device.version, len(device.started)
    other = next(name for name in BOOTNAMES if name != running)
    action = device.deploy(bad)
    assert device.wait_ended(action) == "ERROR", device.messages(action)
    told = device.messages(action)
    assert f"[{code}] " in told, told
    assert device.started[before:] == [other] * tries + [running]
    device.up()
    device.wait_for(lambda: device.busctl("get-property", "State") == "idle", "the agent is idle")
    assert device.version == version
    assert device.busctl("get-property", "LastResult")[:3] == ["failure", bad.version, code]
    assert device.state == "idle"
    assert device.variables == only(running, other, device.variables)
    return told


def only(running: str, other: str, like: Mapping[str, str]) -> Mapping[str, str]:
    """The boot environment at rest, when one slot has proved itself and the other one must not boot.

    Args:
        running: boot name of the one.
        other: of the other.
        like: tells by its names whose environment it is.
    """
    full = str(ATTEMPTS)
    if "BOOT_ORDER" in like:
        return {"BOOT_ORDER": running, f"BOOT_{running}_LEFT": full, f"BOOT_{other}_LEFT": "0"}
    return {
        "ORDER": f"{running} {other}",
        f"{running}_OK": "1", f"{running}_TRY": "0", f"{running}_LEFT": full,
        f"{other}_OK": "0", f"{other}_TRY": "0", f"{other}_LEFT": "0",
    }  # fmt: skip
