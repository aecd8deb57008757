"""The partition table of a disk whose first partition is in one of two places.

What is read becomes a value; changing the place is a list of writes, to be flushed one after the other. Whatever the power
does between or within them, at 512 bytes, firmware finds a table that is old or new:

- MBR: one write of the sector with the table.
- GPT: first whatever an interrupted change has left behind is mended: the table that firmware does not use becomes a copy
  of the one that it uses. A primary whose header is gone is left alone: where its array was is not known then, and some
  boards have their bootloader in LBA 2. Then the backup, array before header, then the primary: while a table is torn, the
  other one is whole. Until the primary is torn firmware uses the old place, from then on the new one. The order is that of
  libfdisk. Header and array of the primary adjoin, and go in one write: the time without a valid primary is the shortest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from slots import gpt, mbr
from slots.errors import SlotError
from slots.handlers.disk import Medium
from slots.handlers.halves import Span
from slots.handlers.streams import padded

Writes = list[tuple[int, bytes]]  # byte offset, whole sectors


class BootTable(Protocol):
    """What the table says."""

    @property
    def reach(self) -> int:
        """Up to which byte of the disk it can describe partitions."""

    @property
    def boot(self) -> Span | None:
        """The first partition, or None when there is none."""

    @property
    def others(self) -> tuple[Span, ...]:
        """All other partitions, and where the tables themselves are."""

    def pointing_to(self, place: Span) -> Writes:
        """What has to be written so that the first partition is there; nothing when it is there already."""


@dataclass(frozen=True, slots=True)
class MbrTable:
    """See BootTable. ``block`` is the first logical block of the disk."""

    block: bytes

    @property
    def reach(self) -> int:
        """See BootTable; its fields have 32 bits."""
        return (2**32 - 1) * len(self.block)

    @property
    def boot(self) -> Span | None:
        """See BootTable."""
        first = mbr.parse(self.block)[0]
        return None if first.empty else self._span(first)

    @property
    def others(self) -> tuple[Span, ...]:
        """See BootTable."""
        used = (self._span(part) for part in mbr.parse(self.block)[1:] if not part.empty)
        return (Span(0, len(self.block)), *used)

    def pointing_to(self, place: Span) -> Writes:
        """See BootTable."""
        if self.boot == place:
            return []
        sector = len(self.block)
        return [(0, mbr.moved(self.block, 0, place.start // sector, place.size // sector))]

    def _span(self, part: mbr.Partition) -> Span:
        return Span(part.start * len(self.block), part.count * len(self.block))


@dataclass(frozen=True, slots=True)
class GptTable:
    """See BootTable. At least one of both is there.

    Attributes:
        primary: behind LBA 0, None when it is not valid.
        backup: at the end of the disk, None when it is not valid.
        sector: logical block size in bytes.
        arrays: the LBA where the array of the primary is, and that of the backup.
    """

    primary: gpt.Table | None
    backup: gpt.Table | None
    sector: int
    arrays: tuple[int, int]

    @property
    def reach(self) -> int:
        """See BootTable."""
        return (self.effective.last_usable + 1) * self.sector

    @property
    def effective(self) -> gpt.Table:
        """The one that firmware uses."""
        table = self.primary or self.backup
        if table is None:
            raise ValueError("a disk without any valid table")
        return table

    @property
    def boot(self) -> Span | None:
        """See BootTable."""
        for part in gpt.partitions(self.effective):
            if part.number == 0:
                return self._span(part.first, part.last)
        return None

    @property
    def others(self) -> tuple[Span, ...]:
        """See BootTable."""
        table = self.effective
        used = (self._span(part.first, part.last) for part in gpt.partitions(table) if part.number != 0)
        unusable = (
            self._span(0, table.first_usable - 1),
            self._span(table.last_usable + 1, max(table.lba, table.other)),
        )
        return (*unusable, *used)

    def pointing_to(self, place: Span) -> Writes:
        """See BootTable."""
        writes, primary, backup = self._mended()
        if self.boot != place:
            first, last = place.start // self.sector, place.end // self.sector - 1
            new_backup, new_primary = gpt.moved(backup, 0, first, last), gpt.moved(primary, 0, first, last)
            writes += self._changed(new_backup)
            writes += _joined(self._changed(new_primary))
        return writes

    def _mended(self) -> tuple[Writes, gpt.Table, gpt.Table]:
        """What makes both tables say the same, and both as they are then."""
        good = self.effective
        if self.primary is not None and self.backup is not None and self.primary.describes_the_same(self.backup):
            return [], self.primary, self.backup
        made = gpt.counterpart(good, self.arrays[1 if good is self.primary else 0])
        return self._whole(made), *((good, made) if good is self.primary else (made, good))

    def _whole(self, table: gpt.Table) -> Writes:
        return [
            (table.array_lba * self.sector, padded(table.array, self.sector)),
            (table.lba * self.sector, gpt.header(table)),
        ]

    def _changed(self, table: gpt.Table) -> Writes:
        """The first sector of the array, which holds the first entry, and the header."""
        array, block = self._whole(table)
        return [(array[0], array[1][: self.sector]), block]

    def _span(self, first: int, last: int) -> Span:
        return Span(first * self.sector, (last - first + 1) * self.sector)


def _joined(writes: Writes) -> Writes:
    """Both writes as one if their places adjoin."""
    (low, early), (high, late) = sorted(writes)
    return [(low, early + late)] if low + len(early) == high else writes


def read_mbr(disk: Medium) -> MbrTable:
    """The MBR of a disk.

    Raises:
        SlotError: ``slot.table-damaged``, ``slot.table-kind`` when it only protects a GPT.
    """
    block = disk.read(0, disk.sector)
    if any(part.type == mbr.GPT_PROTECTIVE for part in mbr.parse(block)):
        raise _kind(disk, "it has a GPT", "give the slot the type boot-gpt-switch")
    return MbrTable(block)


def read_gpt(disk: Medium) -> GptTable:
    """Both GPTs of a disk, of which one may be torn.

    Raises:
        SlotError: ``slot.table-damaged``, ``slot.table-kind`` without a GPT, or when the MBR shows partitions as well.
    """
    protective, *more = mbr.parse(disk.read(0, disk.sector))
    if protective.type != mbr.GPT_PROTECTIVE or not all(part.empty for part in more):
        raise _kind(disk, "its MBR describes partitions by itself", "give the disk a GPT with a protective MBR")
    last = disk.size // disk.sector - 1
    (primary, place), (backup, backup_place) = _table_at(disk, 1), _table_at(disk, last)
    good = primary or backup
    if good is None:
        raise _damaged(disk, "neither of its two GPTs is valid", "restore the partition table")
    if good.other != (last if good is primary else 1):
        # Firmware looks for the backup in the last LBA only; without one there a cut would leave no valid table.
        raise _damaged(
            disk, f"the backup GPT is expected in LBA {good.other}, the disk ends with LBA {last}",
            "move the backup to the end of the disk with sgdisk --move-second-header",
        )  # fmt: skip
    if place is None:
        raise _damaged(disk, "the header of its first GPT is gone", "restore it from the backup with gdisk")
    length = -(-len(good.array) // disk.sector)
    arrays = (place.lba, backup_place.lba if backup_place else last - length)
    if not 2 <= arrays[0] <= good.first_usable - length or not good.last_usable < arrays[1] <= last - length:
        raise _damaged(disk, "its GPT leaves no room for its own arrays", "make a new partition table")
    return GptTable(primary, backup, disk.sector, arrays)


def _table_at(disk: Medium, lba: int) -> tuple[gpt.Table | None, gpt.ArrayPlace | None]:
    """The table, and where its array is; a header may be valid without its array."""
    block = disk.read(lba * disk.sector, disk.sector)
    place = gpt.array_place(block, lba)
    if place is None:
        return None, None
    length = place.length + -place.length % disk.sector
    if not 0 < place.lba * disk.sector <= disk.size - length:
        return None, None
    return gpt.parse(block, lba, disk.read(place.lba * disk.sector, length)[: place.length]), place


def _kind(disk: Medium, details: str, resolution: str) -> SlotError:
    return SlotError(
        "slot.table-kind", "the disk of a slot has another kind of partition table",
        details=f"{disk.path}: {details}", resolution=resolution,
    )  # fmt: skip


def _damaged(disk: Medium, details: str, resolution: str) -> SlotError:
    return SlotError(
        "slot.table-damaged", "the partition table of a slot's disk is damaged", details=f"{disk.path}: {details}",
        resolution=resolution,
    )  # fmt: skip
