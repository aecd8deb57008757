"""What is told of the slots to everybody: what they are, what they hold, where they are mounted, whether they would boot.

The keys are those of RAUC's ``GetSlotStatus``, so that ``agent.rauc`` only has to give the values their types.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from agent.daemon.device import Device
from agent.daemon.knowledge import Knowledge
from agent.daemon.slot_status import Holdings, printable
from agent.errors import EnvironmentFault
from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootEnv, BootState
from slots.device import resolve
from slots.errors import SlotError
from slots.model import Group, Slot
from slots.usage import Identity, mount_point

_log = logging.getLogger(__name__)


def seen_slots(device: Device, knowledge: Knowledge) -> dict[str, object]:
    """The properties ``Slots`` and ``Primary``; what cannot be read is logged and left out."""
    try:
        now = knowledge.holdings()
    except EnvironmentFault as error:  # to be seen is not worth a failure
        _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
        now = Holdings()
    boot = boot_state(device.env)
    return {"Slots": slot_facts(device, now, boot), "Primary": primary(device, boot)}


def slot_facts(device: Device, now: Holdings, boot: BootState | None) -> dict[str, dict[str, str]]:
    """Everything that is known of each slot, by its name; what is not known is left out.

    Args:
        device: what this device is.
        now: what its slots hold.
        boot: what the bootloader would do; None when that is not known.
    """
    return {
        slot.name: {**_place(device, group, slot), **_boot(group, slot, boot), **now.slot(slot.name).facts()}
        for group in device.groups
        for slot in group.slots
    }


def primary(device: Device, boot: BootState | None) -> str:
    """The name of the root slot that boots next; empty when that is not known, or when none would."""
    wanted = boot.primary if boot is not None else ""
    return next((group.root.name for group in device.groups if group.bootname == wanted), "")


def boot_state(env: BootEnv) -> BootState | None:
    """What the bootloader would do now; None when it cannot be read: to be seen is not worth a failure."""
    try:
        return env.read()
    except BootEnvError as error:
        _log.warning("the boot environment is not shown: %s", error, extra={"OTA_ERROR_CODE": error.code})
        return None


def _place(device: Device, group: Group, slot: Slot) -> dict[str, str]:
    facts = {
        "class": slot.slot_class, "device": slot.device, "type": slot.type,
        "bootname": "" if slot.shared else group.bootname, "parent": slot.parent or "",
        "state": "booted" if slot in device.booted.slots else "inactive", "mountpoint": _mounted(slot.device),
    }  # fmt: skip
    return {key: value for key, value in facts.items() if value}


def _boot(group: Group, slot: Slot, boot: BootState | None) -> Mapping[str, str]:
    seen = boot.slots.get(group.bootname) if boot is not None and slot == group.root else None
    return {} if seen is None else {"boot-status": "good" if seen.good else "bad"}


def _mounted(device: str) -> str:
    try:
        found = Identity.at(resolve(device))
        return printable(mount_point(found)) if found is not None else ""
    except (SlotError, OSError):  # it is not there, or /proc is not
        return ""
