"""GUID partition tables (UEFI specification 2.10, 5.3): a pure codec. Numbers are little-endian.

A disk has two tables: header in LBA 1 with its array of entries behind it, and header in the last LBA with its array
before it. A header names its own LBA and that of the other one, and holds a CRC-32 of itself and one of its array: a table
is valid as a whole or not at all. Firmware reads the first one, and the other one when that is not valid.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

SIGNATURE = b"EFI PART"
MAX_ARRAY = 1024 * 1024  # bytes; the specification demands at least 16 KiB, and nobody uses more
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")  # table 5.5, 92 bytes
_CRC_AT = 16  # of the header's own CRC, which counts as zero while it is computed
_ENTRY = struct.Struct("<16s16sQQ")  # type, unique GUID, first and last LBA; attributes and name follow; table 5.6


@dataclass(frozen=True, slots=True)
class Table:
    """One of the two tables, valid.

    Attributes:
        lba: where its header is.
        other: where the header of the other table is.
        first_usable: first LBA that may belong to a partition.
        last_usable: last LBA that may belong to a partition.
        disk: the GUID of the disk.
        array_lba: where its array begins.
        entry_size: bytes for each entry.
        array: all entries.
        revision: of the specification; kept.
        rest: what follows the known fields of the header within its block; kept.
    """

    lba: int
    other: int
    first_usable: int
    last_usable: int
    disk: bytes
    array_lba: int
    entry_size: int
    array: bytes
    revision: int
    header_size: int
    rest: bytes

    @property
    def count(self) -> int:
        """The number of entries, empty ones too."""
        return len(self.array) // self.entry_size

    def describes_the_same(self, other: Table) -> bool:
        """Whether both say the same about the disk, each from its own place."""
        return self == replace(counterpart(other, self.array_lba), rest=self.rest)


@dataclass(frozen=True, slots=True)
class Partition:
    """An entry that is in use: its number, from 0, first and last LBA."""

    number: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ArrayPlace:
    """Where a header says that its array is: first LBA and length in bytes."""

    lba: int
    length: int


def array_place(block: bytes, lba: int) -> ArrayPlace | None:
    """What has to be read to judge a table; None when its header is not valid.

    Args:
        block: the logical block with the header.
        lba: where it was read.
    """
    if len(block) < _HEADER.size or not block.startswith(SIGNATURE):
        return None
    _, _, size, crc, _, my_lba, _, first, last, _, array_lba, count, entry_size, _ = _HEADER.unpack_from(block)
    if not _HEADER.size <= size <= len(block) or _crc(block[:size]) != crc or my_lba != lba:
        return None
    power = entry_size // 128
    if entry_size % 128 or power & (power - 1) or not 0 < count * entry_size <= MAX_ARRAY or first > last:
        return None
    return ArrayPlace(array_lba, count * entry_size)


def parse(block: bytes, lba: int, array: bytes) -> Table | None:
    """The table, or None when it is not valid.

    Args:
        block: the logical block with the header.
        lba: where it was read.
        array: what is where ``array_place`` says, of that length.
    """
    place = array_place(block, lba)
    if place is None or len(array) != place.length:
        return None
    fields = _HEADER.unpack_from(block)
    _, revision, size, _, _, _, other, first, last, disk, array_lba, _, entry_size, array_crc = fields
    if zlib.crc32(array) != array_crc:
        return None
    return Table(
        lba=lba, other=other, first_usable=first, last_usable=last, disk=disk, array_lba=array_lba,
        entry_size=entry_size, array=array, revision=revision, header_size=size, rest=block[_HEADER.size :],
    )  # fmt: skip


def header(table: Table) -> bytes:
    """The logical block with the header of a table."""
    fields = _HEADER.pack(
        SIGNATURE, table.revision, table.header_size, 0, 0, table.lba, table.other, table.first_usable,
        table.last_usable, table.disk, table.array_lba, table.count, table.entry_size, zlib.crc32(table.array),
    )  # fmt: skip
    block = fields + table.rest
    return block[:_CRC_AT] + struct.pack("<I", _crc(block[: table.header_size])) + block[_CRC_AT + 4 :]


def partitions(table: Table) -> list[Partition]:
    """The entries in use; an unused one has the type zero."""
    found = []
    for number in range(table.count):
        kind, _, first, last = _ENTRY.unpack_from(table.array, number * table.entry_size)
        if any(kind):
            found.append(Partition(number, first, last))
    return found


def moved(table: Table, number: int, first: int, last: int) -> Table:
    """The table with one partition somewhere else; its type, GUID, attributes and name stay what they are."""
    at = number * table.entry_size
    kind, unique, _, _ = _ENTRY.unpack_from(table.array, at)
    entry = _ENTRY.pack(kind, unique, first, last)
    return replace(table, array=table.array[:at] + entry + table.array[at + _ENTRY.size :])


def counterpart(table: Table, array_lba: int) -> Table:
    """The other table that belongs to this one, with its array at an LBA."""
    return replace(table, lba=table.other, other=table.lba, array_lba=array_lba)


def _crc(data: bytes) -> int:
    return zlib.crc32(data[:_CRC_AT] + bytes(4) + data[_CRC_AT + 4 :])
