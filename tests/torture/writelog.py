"""The log that QEMU's ``blklogwrites`` writes of a drive, in the format of Linux' ``dm-log-writes``. Pure.

A superblock of one sector, then entries: one sector with a header, the data behind it. Numbers are little-endian. An entry is
written when its write, or its flush, has been done below, and before the guest hears of that. Sources: Linux'
``Documentation/admin-guide/device-mapper/log-writes.rst`` and ``drivers/md/dm-log-writes.c``, QEMU's ``block/blklogwrites.c``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC, VERSION = 0x6A736677736872, 1
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
_SUPER = struct.Struct("<QQQI")  # magic, version, entries, bytes of a sector
_ENTRY = struct.Struct("<QQQQ")  # first sector, sectors, flags, bytes of a mark


class NotALog(Exception):
    """The file is no log, or one of another version."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One write, flush or discard, in the order of the log.

    Attributes:
        header: offset of the entry in the log, in bytes.
        data: offset of the data in the log; where it would be, when there is none.
        offset: of the first byte on the drive.
        length: bytes on the drive.
        flags: ``FLUSH``, ``FUA``, ``DISCARD``, ``MARK``.
    """

    header: int
    data: int
    offset: int
    length: int
    flags: int

    @property
    def flushes(self) -> bool:
        """Whether everything before it is on the medium when it is."""
        return bool(self.flags & FLUSH)

    @property
    def discards(self) -> bool:
        """Whether the range is given back; what it holds from then on is not said. It has no data."""
        return bool(self.flags & DISCARD)


def entries(log: bytes | memoryview) -> list[Entry]:
    """Every entry of a log, in order.

    The number in the superblock is as old as the last flush. An entry that the file does not hold completely was being
    written when QEMU was killed: the guest had not heard of it.

    Raises:
        NotALog: the superblock or an entry is not one.
    """
    if len(log) < _SUPER.size:
        raise NotALog("it is too short")
    magic, version, count, sector = _SUPER.unpack_from(log)
    if (magic, version) != (MAGIC, VERSION) or sector < _SUPER.size or sector & (sector - 1):
        raise NotALog(f"magic {magic:#x}, version {version}, sectors of {sector} bytes")
    found: list[Entry] = []
    at = sector
    while at + sector <= len(log):
        first, sectors, flags, mark = _ENTRY.unpack_from(log, at)
        if flags & ~(FLUSH | FUA | DISCARD | MARK):
            raise NotALog(f"entry {len(found)} has the flags {flags:#x}")
        kept = 0 if flags & DISCARD else sectors * sector
        if flags & MARK:
            kept = -(-mark // sector) * sector
        if at + sector + kept > len(log):
            break
        found.append(Entry(at, at + sector, first * sector, sectors * sector, flags))
        at += sector + kept
    if len(found) < count:
        raise NotALog(f"it holds {len(found)} entries of {count}")
    return found
