"""A region of a disk that holds two copies of a bootloader, one in each half."""

from __future__ import annotations

from dataclasses import dataclass

from slots.errors import SlotError
from slots.model import Slot


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a disk, from ``start`` on; both numbers in bytes."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size

    def overlaps(self, other: Span) -> bool:
        """Whether they share a byte."""
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"bytes {self.start} to {self.end - 1}"


def region_of(slot: Slot) -> Span:
    """The whole region, both halves."""
    return Span(slot.region_start, slot.region_size)


def halves_of(slot: Slot, *, sector: int, disk_size: int) -> tuple[Span, Span]:
    """The two halves, the first one first.

    Args:
        slot: with its region.
        sector: logical block size of the disk in bytes.
        disk_size: in bytes.

    Raises:
        SlotError: ``slot.region-invalid``.
    """
    start, size = slot.region_start, slot.region_size
    problem = ""
    if size <= 0 or start < 0:
        problem = "no region is configured"
    elif start % sector:
        problem = f"region-start {start} is no multiple of the sector size {sector}"
    elif size % (2 * sector):
        problem = f"region-size {size} is no multiple of two sectors of {sector}"
    elif start + size > disk_size:
        problem = f"the region ends at {start + size}, the disk at {disk_size}"
    if problem:
        raise SlotError(
            "slot.region-invalid", f"the region of slot {slot.name} does not fit its disk", details=problem,
            resolution="correct region-start and region-size of the slot in the configuration",
        )  # fmt: skip
    half = size // 2
    return Span(start, half), Span(start + half, half)
