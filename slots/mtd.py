"""Flash memory as the kernel's MTD layer shows it (Documentation/ABI/testing/sysfs-class-mtd), and who uses it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from slots.usage import Identity, own_user

NAND = ("nand", "mlc-nand")  # types whose blocks may be bad, and that are written in whole pages
NOR = ("nor", "dataflash", "ram")  # types that are written byte by byte after erasing; "ram" is mtdram
_CHARACTER, _BLOCK = 90, 31  # MTD_CHAR_MAJOR and MTD_BLOCK_MAJOR, linux/major.h
_WRITEABLE = 0x400  # MTD_WRITEABLE, mtd/mtd-abi.h


@dataclass(frozen=True, slots=True)
class Mtd:
    """A chip, or a partition of one.

    Attributes:
        number: of ``mtdN``.
        node: the character device that reads and writes.
        name: of the partition.
        type: of the memory, one of the kernel's words.
        size: in bytes, with bad blocks.
        erase_size: bytes of an eraseblock.
        writable: whether the kernel lets it be written.
    """

    number: int
    node: str
    name: str
    type: str
    size: int
    erase_size: int
    writable: bool


def number_of(path: str) -> int | None:
    """The N of ``mtdN`` behind a path, or None when that is no MTD device.

    Args:
        path: of ``/dev/mtdN``, ``/dev/mtdNro`` or ``/dev/mtdblockN``, by whatever name.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    if stat.S_ISCHR(status.st_mode) and major == _CHARACTER:
        return minor // 2  # odd ones are read-only, drivers/mtd/mtdchar.c
    if stat.S_ISBLK(status.st_mode) and major == _BLOCK:
        return minor
    return None


def look_at(path: str, *, sysfs: str = "/sys") -> Mtd | None:
    """What there is to know about the flash memory behind a path, or None when that is none.

    Raises:
        OSError, ValueError: the kernel does not tell what it must.
    """
    number = number_of(path)
    if number is None:
        return None
    folder = Path(sysfs, f"class/mtd/mtd{number}")

    def said(name: str) -> str:
        return (folder / name).read_text("ascii").strip()

    kind = said("type")
    block = stat.S_ISBLK(os.stat(path).st_mode)
    return Mtd(
        number=number, node=f"/dev/mtd{number}" if block else path, name=said("name"), type=kind,
        size=int(said("size")), erase_size=int(said("erasesize")),
        writable=bool(int(said("flags"), 16) & _WRITEABLE),
    )  # fmt: skip


def user(mtd: Mtd, *, proc: str = "/proc", sysfs: str = "/sys") -> str:
    """Says what uses the flash memory: a mounted file system, or UBI; empty when nothing does.

    Raises:
        OSError: /proc cannot be read, so that nothing is known.
    """
    for attached in sorted(Path(sysfs, "class/ubi").glob("ubi*/mtd_num")):
        try:
            number = int(attached.read_text("ascii"))
        except (OSError, ValueError):
            continue  # a volume, or gone while we looked
        if number == mtd.number:
            return f"{attached.parent.name} is attached to it"
    # JFFS2 mounts show the number of the block device, whether there is one or not (drivers/mtd/mtdsuper.c).
    return own_user(Identity(os.makedev(_BLOCK, mtd.number), 0, 0), proc=proc, sysfs=sysfs)
