"""Which slot the running system was booted from, as the kernel's command line and the bootloader tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from slots.errors import SlotError
from slots.model import Slot

_NAMES = ("rauc.slot", "ota.slot")
_DEVICES = ("root", "systemd.verity_root_data")  # with dm-verity, root= names the mapped device
_MAX_CMDLINE = 64 * 1024  # bytes; COMMAND_LINE_SIZE of the kernel is at most 4096
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_TAGS = {"PARTLABEL": "partlabel:", "PARTUUID": "partuuid:", "UUID": "uuid:"}


def booted_slot(
    cmdline: str, slots: Sequence[Slot], resolve: Callable[[str], str], told: Callable[[], str] = lambda: ""
) -> Slot:
    """Finds the booted slot in the order of RAUC.

    1. ``rauc.external`` or ``root=/dev/nfs``: the system came from elsewhere.
    2. ``rauc.slot=`` and ``ota.slot=``: a boot name or a slot name; all that are given must mean the same slot.
    3. What the bootloader itself tells.
    4. ``root=``, then ``systemd.verity_root_data=``: a path, or ``PARTLABEL=``, ``PARTUUID=``, ``UUID=``.

    Of a repeated ``root=`` the last one counts, as for the kernel. Words after ``--`` are for init and are ignored.

    Args:
        cmdline: the text of /proc/cmdline.
        slots: all configured slots.
        resolve: gives the real path of a device; see ``slots.device.resolve``.
        told: asks the bootloader for the boot name of the slot that it has booted; empty when it does not tell.

    Raises:
        SlotError: ``slot.external``, ``slot.booted-unknown``, ``slot.booted-ambiguous``, or ``slot.device-ambiguous``.
    """
    words = list(_words(cmdline))
    if any(key == "rauc.external" or (key, value) == ("root", "/dev/nfs") for key, value in words):
        raise SlotError(
            "slot.external", "the running system was not booted from a slot",
            details="the kernel's command line says so with rauc.external or root=/dev/nfs",
            resolution="boot from a slot to install updates",
        )  # fmt: skip
    named = [(key, value) for key, value in words if key in _NAMES]
    if named:
        return _by_name(named, slots)
    if name := told():
        return _by_name([("the bootloader's own word", name)], slots)
    last = dict(words)
    return _by_device([(key, last[key]) for key in _DEVICES if last.get(key)], slots, resolve)


def _words(cmdline: str) -> Iterator[tuple[str, str]]:
    if len(cmdline) > _MAX_CMDLINE:
        raise _unknown(f"the kernel's command line has {len(cmdline)} characters")
    for match in _WORD.finditer(cmdline):
        word = match.group()
        if word == "--":
            return
        key, _, value = word.replace('"', "").partition("=")
        yield key, value


def _by_name(named: Sequence[tuple[str, str]], slots: Sequence[Slot]) -> Slot:
    found = {}
    for key, value in named:
        slot = next((slot for slot in slots if value and value in (slot.bootname, slot.name)), None)
        if slot is None:
            raise _unknown(f"{key}={value[:80]} is neither a boot name nor the name of a slot")
        found[slot.name] = slot
    if len(found) > 1:
        said = " ".join(f"{key}={value[:80]}" for key, value in named)
        raise _ambiguous(f"{said} on the kernel's command line contradict each other")
    return next(iter(found.values()))


def _by_device(said: Sequence[tuple[str, str]], slots: Sequence[Slot], resolve: Callable[[str], str]) -> Slot:
    if not said:
        raise _unknown("the kernel's command line has neither rauc.slot=, ota.slot= nor root=")
    paths: dict[str, list[Slot]] = {}
    for slot in slots:
        path = _existing(slot.device, resolve)
        if path:
            paths.setdefault(path, []).append(slot)
    for _, value in said:
        device = _device(value)
        matching = paths.get(_existing(device, resolve), []) if device else []
        if len(matching) > 1:
            raise _ambiguous(f"{value[:80]} is the device of {', '.join(slot.name for slot in matching)}")
        if matching:
            return matching[0]
    raise _unknown(" and ".join(f"{key}={value[:80]}" for key, value in said) + " is the device of no slot")


def _device(value: str) -> str:
    """The device of ``root=`` in the words of ``resolve``; empty when it is none of the forms that name one."""
    if value.startswith("/"):
        return value
    tag, _, rest = value.partition("=")
    return _TAGS[tag] + rest if tag in _TAGS and rest else ""


def _existing(device: str, resolve: Callable[[str], str]) -> str:
    """The real path, or nothing: a device that is not there cannot be the one that is running."""
    try:
        return resolve(device)
    except SlotError as error:
        if error.code == "slot.missing":
            return ""
        raise


def _unknown(details: str) -> SlotError:
    return SlotError(
        "slot.booted-unknown", "it is not known which slot is running", details=details,
        resolution="let the bootloader pass ota.slot=BOOTNAME on the kernel's command line",
    )  # fmt: skip


def _ambiguous(details: str) -> SlotError:
    return SlotError(
        "slot.booted-ambiguous", "more than one slot could be the running one", details=details,
        resolution="let the bootloader pass ota.slot=BOOTNAME once, and give every slot its own device",
    )  # fmt: skip
