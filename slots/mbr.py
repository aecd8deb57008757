"""The partition table of an MBR (UEFI specification 2.10, 5.2.1; IBM PC DOS): a pure codec. Numbers are little-endian.

``446`` four entries of 16 bytes: boot indicator, first sector as CHS (3), type, last sector as CHS (3), first LBA (4),
number of LBAs (4); ``510`` the signature ``55 AA``. Bytes 0 to 439 are boot code, 440 to 443 the disk's signature.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from slots.errors import SlotError

LENGTH = 512  # bytes, at the start of the first logical block, whatever size that has
GPT_PROTECTIVE = 0xEE  # OSType of the entry that protects a GPT, UEFI table 5.4
_ENTRIES = 446
_ENTRY = struct.Struct("<B3sB3sII")
_SIGNATURE = b"\x55\xaa"
_HEADS, _SECTORS, _CYLINDERS = 255, 63, 1024  # the geometry that every tool assumes where there is none


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry of the table.

    Attributes:
        type: OSType; an entry of type 0 is empty.
        start: first LBA.
        count: number of LBAs.
    """

    type: int
    start: int
    count: int

    @property
    def empty(self) -> bool:
        """Whether the entry stands for nothing."""
        return self.type == 0 or self.count == 0


def parse(block: bytes) -> tuple[Partition, ...]:
    """The four entries, empty ones too.

    Args:
        block: the first logical block of a disk.

    Raises:
        SlotError: ``slot.table-damaged`` when there is no table.
    """
    if len(block) < LENGTH or block[LENGTH - 2 : LENGTH] != _SIGNATURE:
        raise SlotError(
            "slot.table-damaged", "the partition table of a slot's disk is damaged",
            details="the first sector does not end with the signature 55 AA of an MBR",
            resolution="check the slot's device, and the partition table with sfdisk --verify",
        )  # fmt: skip
    entries = (_ENTRY.unpack_from(block, _ENTRIES + number * _ENTRY.size) for number in range(4))
    return tuple(Partition(kind, start, count) for _, _, kind, _, start, count in entries)


def moved(block: bytes, number: int, start: int, count: int) -> bytes:
    """The block with one partition somewhere else; boot indicator, type and everything around stay what they are.

    Args:
        block: the first logical block of a disk, with a table.
        number: of the entry, from 0.
        start: first LBA; below 2**32.
        count: number of LBAs, at least 1; below 2**32.
    """
    offset = _ENTRIES + number * _ENTRY.size
    boot, _, kind, _, _, _ = _ENTRY.unpack_from(block, offset)
    entry = _ENTRY.pack(boot, _chs(start), kind, _chs(start + count - 1), start, count)
    return block[:offset] + entry + block[offset + _ENTRY.size :]


def _chs(lba: int) -> bytes:
    """Head; two high bits of the cylinder and the sector, from 1; cylinder. What lies beyond is the last there is."""
    track, sector = divmod(lba, _SECTORS)
    cylinder, head = divmod(track, _HEADS)
    if cylinder >= _CYLINDERS:
        cylinder, head, sector = _CYLINDERS - 1, _HEADS - 1, _SECTORS - 1
    return bytes((head, cylinder >> 8 << 6 | sector + 1, cylinder & 0xFF))
