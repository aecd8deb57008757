"""Whether the system may be writing to a slot: through a file system mounted for writing, on it or on what lies over it.

What was written changes the digest of the slot, without any damage: the superblock counts mounts, the journal is replayed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from slots.device import resolve
from slots.usage import Identity, relatives

_MAX_TABLE = 4 * 1024 * 1024  # bytes of /proc/self/mountinfo that are looked at
_DEPTH = 4  # dm-verity over dm-crypt over a partition is 3


def written_to(device: str, *, proc: str = "/proc", sysfs: str = "/sys") -> str:
    """Where a file system on the device is mounted for writing; empty when none is.

    A mount that is read-only may belong to a file system that another mount writes to: what counts is the file system's
    own option (the last field of a line, proc_pid_mountinfo(5)). dm-verity devices cannot be written to and carry none.

    Args:
        device: as configured for a slot.
        proc: where procfs is mounted.
        sysfs: where sysfs is mounted.

    Raises:
        SlotError: the device cannot be found, see ``slots.device.resolve``.
        OSError: /proc cannot be read.
    """
    identity = Identity.at(resolve(device))
    if identity is None:
        return ""
    ours = {identity, *relatives(identity, sysfs), *_over(identity, sysfs, _DEPTH)}
    for number, source, where in _writable(Path(proc, "self/mountinfo")):
        if number in ours or (source is not None and source in ours):
            return where
    return ""


def _over(identity: Identity, sysfs: str, depth: int) -> Iterator[Identity]:
    """The block devices that are made of this one."""
    if not identity.rdev or not depth:
        return
    holders = Path(sysfs, "dev/block", f"{os.major(identity.rdev)}:{os.minor(identity.rdev)}", "holders")
    for holder in holders.glob("*/dev"):
        found = Identity(_number(holder.read_text("ascii").strip()), 0, 0)
        yield found
        yield from _over(found, sysfs, depth - 1)


def _writable(table: Path) -> Iterator[tuple[Identity, Identity | None, str]]:
    """The device by number and by path, and the mount point, of each file system that is mounted for writing."""
    with table.open("rb") as file:
        text = file.read(_MAX_TABLE).decode("utf-8", "surrogateescape")
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        columns, more = fields.split(" "), rest.split(" ")
        if len(columns) < 6 or len(more) < 3 or "rw" not in more[2].split(","):
            continue
        source = Identity.at(more[1]) if more[1].startswith("/") else None  # btrfs shows a number that is no device's
        yield Identity(_number(columns[2]), 0, 0), source, columns[4]


def _number(text: str) -> int:
    major, _, minor = text.partition(":")
    return os.makedev(int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else 0
