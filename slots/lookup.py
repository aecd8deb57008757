"""From the name of a partition or file system to its device node.

The kernel's own list (sysfs) comes first: unlike the links below /dev/disk, it shows when two disks carry the same name.
Then udev's database is asked, and at last the links. A name that two devices carry is refused, never guessed: a USB stick
with a partition ``rootfs-b`` must not become the target of an update.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slots.errors import SlotError

_MAX_NAME = 128  # characters; a GPT name has 36, a UUID as well
_MAX_UEVENT = 8 * 1024  # bytes; the kernel's UEVENT_BUFFER_SIZE is 2048
_UNSAFE = re.compile(r"[^A-Za-z0-9#+\-.:=@_]")


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where a kind of tag is looked up."""

    uevent: str  # variable in /sys/class/block/*/uevent, "" when the kernel knows none
    udev: str  # property in udev's database
    links: str  # folder below /dev/disk
    any_case: bool  # UUIDs are compared without regard to case


_KINDS = {
    "partlabel": _Kind("PARTNAME", "ID_PART_ENTRY_NAME", "by-partlabel", False),
    "partuuid": _Kind("PARTUUID", "ID_PART_ENTRY_UUID", "by-partuuid", True),
    "uuid": _Kind("", "ID_FS_UUID", "by-uuid", True),
}
KINDS = tuple(_KINDS)


def find(kind: str, name: str, *, sysfs: str = "/sys", dev: str = "/dev") -> str:
    """Finds the block device with this name.

    Args:
        kind: one of ``KINDS``.
        name: the name of the partition, or the UUID.
        sysfs: where sysfs is mounted.
        dev: where the device nodes are.

    Returns:
        The path of the device node.

    Raises:
        SlotError: ``slot.missing``, ``slot.device-ambiguous``.
    """
    rule = _KINDS[kind]
    if not 0 < len(name) <= _MAX_NAME:
        raise _missing(kind, name, "the name is empty or too long")
    nodes = set(_in_sysfs(rule, name, sysfs, dev)) if rule.uevent else set()
    note = ""
    if not nodes:
        nodes, note = _in_udev(rule, name)
    if not nodes:
        link = Path(dev, "disk", rule.links, _encoded(name.lower() if rule.any_case else name))
        nodes = {os.path.realpath(link)} if link.exists() else set()
    if len(nodes) > 1:
        raise SlotError(
            "slot.device-ambiguous", "several devices carry the same name",
            details=f"{kind} {name!r}: {', '.join(sorted(nodes)[:8])}",
            resolution="remove the other medium, or configure the path of the device",
        )  # fmt: skip
    if not nodes:
        raise _missing(kind, name, note)
    return nodes.pop()


def _in_sysfs(rule: _Kind, name: str, sysfs: str, dev: str) -> Iterator[str]:
    for entry in Path(sysfs, "class/block").glob("*"):
        values = _uevent(entry / "uevent")
        node = values.get("DEVNAME", "")
        if node and _same(rule, values.get(rule.uevent, ""), name):
            yield str(Path(dev, node))


def _uevent(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_UEVENT).decode("utf-8", "replace")
    except OSError:
        return {}  # the device was unplugged while we looked
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines())}


def _in_udev(rule: _Kind, name: str) -> tuple[set[str], str]:
    """The nodes that udev's database knows by this name, and a note when it cannot be asked."""
    try:
        import pyudev  # here: it costs memory, and devices with GPT never need it
    except ImportError:
        return set(), "pyudev is not installed, so udev was not asked"
    devices = pyudev.Context().list_devices(subsystem="block")
    found = {
        str(device.device_node)
        for device in devices
        if device.device_node and _same(rule, _decoded(str(device.properties.get(rule.udev, ""))), name)
    }
    return found, ""


def _same(rule: _Kind, have: str, want: str) -> bool:
    return have.lower() == want.lower() if rule.any_case else have == want


def _encoded(name: str) -> str:
    r"""How udev writes a name in a link: other characters, the slash too, become ``\x2f``."""
    return _UNSAFE.sub(lambda match: "".join(f"\\x{byte:02x}" for byte in match.group().encode()), name)


def _decoded(text: str) -> str:
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match.group(1), 16)), text)


def _missing(kind: str, name: str, note: str) -> SlotError:
    return SlotError(
        "slot.missing", "the device of a slot does not exist",
        details=f"no {kind} {name[:_MAX_NAME]!r}" + (f"; {note}" if note else ""),
        resolution="check the partition table and the slot's device in the configuration",
    )  # fmt: skip
