"""UBI volumes as the kernel shows them (Documentation/ABI/stable/sysfs-class-ubi), and who uses them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slots.usage import Identity, in_use, mounts

# What mount(8) is told: ubi:NAME, ubiX:NAME, ubiX_Y or ubiX, with ! for : (Documentation/filesystems/ubifs.rst).
_MOUNTED = re.compile(r"ubi(?P<ubi>\d*)(?:_(?P<number>\d+)|[:!](?P<name>.+))?")


@dataclass(frozen=True, slots=True)
class Volume:
    """A UBI volume.

    Attributes:
        ubi: the X of ``ubiX_Y``.
        number: the Y of ``ubiX_Y``.
        name: of the volume.
        static: holds as many bytes as were written, with a checksum; a dynamic one is as large as there is room.
        room: bytes that an image may have.
        data_bytes: bytes that it holds.
        unfinished: carries the mark of an update that has not come to its end.
        corrupted: its checksum is wrong; only of static ones.
    """

    ubi: int
    number: int
    name: str
    static: bool
    room: int
    data_bytes: int
    unfinished: bool
    corrupted: bool


def numbers_of(path: str, *, sysfs: str = "/sys") -> tuple[int, int] | None:
    """The X and Y of ``ubiX_Y`` behind the path of its character device or of its ``ubiblock``; None when that is neither."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    kind = "char" if stat.S_ISCHR(status.st_mode) else "block"
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    name = os.path.basename(os.path.realpath(Path(sysfs, "dev", kind, number)))
    found = re.fullmatch(r"ubi(?:block)?(\d+)_(\d+)", name)
    return (int(found[1]), int(found[2])) if found and status.st_rdev else None


def look_at(path: str, *, sysfs: str = "/sys") -> Volume | None:
    """What there is to know about the volume whose character device is at a path, or None when that is none.

    Raises:
        OSError, ValueError: the kernel does not tell what it must.
    """
    numbers = numbers_of(path, sysfs=sysfs)
    if numbers is None or not stat.S_ISCHR(os.stat(path).st_mode):
        return None
    folder = Path(sysfs, f"class/ubi/ubi{numbers[0]}_{numbers[1]}")

    def said(name: str) -> str:
        return (folder / name).read_text("utf-8").rstrip("\n")

    return Volume(
        *numbers, name=said("name"), static=said("type") == "static",
        room=int(said("reserved_ebs")) * int(said("usable_eb_size")), data_bytes=int(said("data_bytes")),
        unfinished=int(said("upd_marker")) != 0, corrupted=int(said("corrupted")) != 0,
    )  # fmt: skip


def user(volume: Volume, *, proc: str = "/proc", sysfs: str = "/sys") -> str:
    """Says what uses the volume: a mounted UBIFS, or its block device; empty when nothing does.

    Raises:
        OSError: /proc cannot be read, so that nothing is known.
    """
    for source, where in _ubifs_mounts(proc):
        if _means(source, volume, sysfs):
            return f"mounted on {where}"
    block = Path(sysfs, f"block/ubiblock{volume.ubi}_{volume.number}/dev")
    if block.exists():
        major, _, minor = block.read_text("ascii").strip().partition(":")
        return in_use(Identity(os.makedev(int(major), int(minor)), 0, 0), proc=proc, sysfs=sysfs)
    return ""


def _ubifs_mounts(proc: str) -> Iterator[tuple[str, str]]:
    return ((source, where) for kind, source, where in mounts(proc) if kind == "ubifs")


def _means(source: str, volume: Volume, sysfs: str) -> bool:
    """Whether this is a way to say which volume is meant; a volume that cannot be told is taken for this one."""
    if source.startswith("/"):
        return numbers_of(source, sysfs=sysfs) in ((volume.ubi, volume.number), None)
    found = _MOUNTED.fullmatch(source)
    if found is None or int(found["ubi"] or 0) != volume.ubi:
        return found is None
    return found["name"] == volume.name if found["name"] else int(found["number"] or 0) == volume.number
