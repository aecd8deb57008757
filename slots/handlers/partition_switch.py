"""Slots of type ``boot-mbr-switch`` and ``boot-gpt-switch``: the first partition is one half of a region or the other one.

The image goes into the half that no partition shows, and is read back. Moving the first partition there is the last step,
by itself (``switch``). Until then the table is not written to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from slots.device import require_room
from slots.errors import SlotError
from slots.handlers.boot_tables import BootTable, read_gpt, read_mbr
from slots.handlers.disk import Medium, Opener, open_disk
from slots.handlers.halves import Span, halves_of, region_of
from slots.handlers.port import Content, Handler, Watch, Written
from slots.handlers.streams import fill, look
from slots.model import Slot


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which half is which."""

    shown: Span
    hidden: Span


class PartitionSwitch:
    """Fills the hidden half, and shows it on demand.

    Args:
        read_table: how the kind of partition table is read.
        opener: how the disk is opened.
    """

    def __init__(self, read_table: Callable[[Medium], BootTable], opener: Opener = open_disk) -> None:
        self._read, self._open = read_table, opener
        self._filled: _Plan | None = None
        self._kept = False  # what the slot shows is the image already

    @property
    def resumable(self) -> bool:
        """See Handler."""
        return False

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        """See Handler.

        Raises:
            SlotError: what ``open_disk`` raises, and ``slot.region-invalid``, ``slot.region-overlap``,
                ``slot.region-mismatch``, ``slot.table-damaged``, ``slot.table-kind``, ``slot.too-small``.
        """
        with self._planned(slot, booted=(), writable=False) as (_, plan):
            require_room(slot, size, plan.hidden.size)

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        """See Handler. Nothing boots from what is written until ``switch``.

        Raises:
            SlotError: also ``slot.read-back``, ``slot.read-failed``, ``slot.write-failed``, ``slot.size-mismatch``.
        """
        if start:
            raise ValueError("a bootloader is written from its start")
        self._filled, self._kept = None, False
        with self._planned(slot, booted=booted, writable=True) as (disk, plan):
            require_room(slot, content.size, plan.hidden.size)
            if not slot.install_same:
                found, reading = look(disk, plan.shown.start, content, watch)
                if found == content.sha256:
                    self._kept = True
                    return Written(found, 0, content.size, reading)
            outcome = fill(slot.name, disk, plan.hidden.start, content, watch)
        self._filled = plan
        return outcome

    def switch(self, slot: Slot) -> None:
        """See Switching.

        Raises:
            SlotError: what ``open_disk`` raises, and ``slot.switch-failed`` when the table is not the one that was seen,
                or not what was written.
            RuntimeError: nothing was installed by this handler.
        """
        if self._kept:
            return
        filled, self._filled = self._filled, None
        if filled is None:
            raise RuntimeError("there is nothing to switch to")
        with self._planned(slot, booted=(), writable=True) as (disk, plan):
            if plan != filled:
                raise _failed(slot, disk, "somebody else has changed the partition table since it was looked at")
            for offset, data in self._read(disk).pointing_to(plan.hidden):
                disk.write(offset, data)
                disk.flush()
            table = self._read(disk)
            if table.boot != plan.hidden or table.pointing_to(plan.hidden):
                raise _failed(slot, disk, f"the first partition is at {table.boot}, expected {plan.hidden}")

    def variables(self, slot: Slot) -> Mapping[str, str]:
        """See Telling; the names are those of RAUC's ``img_to_boot_mbr_switch_handler``."""
        with self._planned(slot, booted=(), writable=False) as (_, plan):
            return {
                "RAUC_BOOT_PARTITION_ACTIVATING": "1" if plan.hidden.start > plan.shown.start else "0",
                "RAUC_BOOT_PARTITION_START": str(plan.hidden.start),
                "RAUC_BOOT_PARTITION_SIZE": str(plan.hidden.size),
            }

    @contextmanager
    def _planned(self, slot: Slot, *, booted: Sequence[str], writable: bool) -> Iterator[tuple[Medium, _Plan]]:
        """The disk, open, when everything is found to be free that is going to be written."""
        with self._open(slot, Span(0, 0), booted=booted, writable=False) as disk:
            plan = self._plan(slot, disk)
        with self._open(slot, plan.hidden, booted=booted, writable=writable) as disk:
            if self._plan(slot, disk) != plan:
                raise _failed(slot, disk, "the partition table changed while it was looked at")
            yield disk, plan

    def _plan(self, slot: Slot, disk: Medium) -> _Plan:
        table, region = self._read(disk), region_of(slot)
        first, second = halves_of(slot, sector=disk.sector, disk_size=min(disk.size, table.reach))
        for other in table.others:
            if other.overlaps(region):
                raise SlotError(
                    "slot.region-overlap", f"the region of slot {slot.name} is not free",
                    details=f"{region} of {disk.path}; {other} belong to another partition or to the table",
                    resolution="correct the region of the slot, or the partition table; only the first partition may be there",
                )  # fmt: skip
        boot = table.boot
        for shown, hidden in ((first, second), (second, first)):
            if boot is not None and boot.start == shown.start and boot.size <= shown.size:
                return _Plan(shown, hidden)
        raise SlotError(
            "slot.region-mismatch", f"the first partition is at neither half of the region of slot {slot.name}",
            details=f"{disk.path}: it is at {boot or 'no place at all'}, the halves are {first} and {second}",
            resolution="correct region-start and region-size, or the partition table",
        )  # fmt: skip


def _failed(slot: Slot, disk: Medium, details: str) -> SlotError:
    return SlotError(
        "slot.switch-failed", f"what slot {slot.name} holds could not be made the choice of the next boot",
        details=f"{disk.path}: {details}", resolution="it is tried again; check the storage if this repeats",
        retryable=True,
    )  # fmt: skip


def handler(slot_type: str) -> Handler:
    """The handler for one of both types."""
    readers: dict[str, Callable[[Medium], BootTable]] = {"boot-mbr-switch": read_mbr, "boot-gpt-switch": read_gpt}
    return PartitionSwitch(readers[slot_type])
