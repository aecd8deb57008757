"""Slots of type ``boot-raw-fallback``: two copies of a bootloader, of which the ROM code takes the first with a header.

The first 512 bytes of a copy are its header. Both copies are never without one at the same time:

1. The copy to begin with is the second one; or the first one if its header is blank, for then the ROM code uses the second.
2. Its header is made blank, then its body is written, read back and found to be right, and only then its header is written.
3. The same with the other copy. Its bytes come from the copy that was just proven.

RAUC does the same (docs/advanced.rst, "Update Raw Bootloader Partition with Fallback"), without reading back.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence

from slots.device import require_room
from slots.errors import SlotError
from slots.handlers.disk import Medium, Opener, open_disk
from slots.handlers.halves import Span, halves_of, region_of
from slots.handlers.port import Content, Handler, Watch, Written
from slots.handlers.streams import chunks, differs, digest, padded, read_on
from slots.model import Slot

HEADER = 512  # bytes; RAUC's header_size, and what a disk writes in one piece or not at all


def blank(header: bytes) -> bool:
    """Whether no ROM code takes this for a header: nothing but zeros, or what erased flash reads as."""
    return all(byte in (0x00, 0xFF) for byte in header[:HEADER])


class FallbackCopy:
    """Writes both copies, one after the other."""

    def __init__(self, opener: Opener = open_disk) -> None:
        self._open = opener

    @property
    def resumable(self) -> bool:
        """See Handler."""
        return False

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        """See Handler. Raises what ``open_disk`` raises, and ``slot.region-invalid``, ``slot.too-small``."""
        with self._open(slot, region_of(slot), booted=(), writable=False) as disk:
            _fitting(slot, disk, size)

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        """See Handler. A copy that holds the image already is left alone.

        Raises:
            SlotError: also ``slot.read-back`` (the copy that failed has no header then), ``slot.read-failed``,
                ``slot.write-failed``, ``slot.size-mismatch``.
        """
        if start:
            raise ValueError("a bootloader is written from its start")
        with self._open(slot, region_of(slot), booted=booted, writable=True) as disk:
            first, second = _fitting(slot, disk, content.size)
            order = (first, second) if blank(disk.read(first.start, disk.sector)) else (second, first)
            work = _Work(slot, disk, content, watch)
            work.fill(order[0], content.pieces(0))
            work.fill(order[1], read_on(disk, order[0].start, content.size, disk.sector))
        return Written(content.sha256, work.written, work.skipped, work.reading)

    def variables(self, slot: Slot) -> Mapping[str, str]:
        """See Telling; the names are those of RAUC's ``img_to_boot_raw_fallback_handler``."""
        return {"RAUC_BOOT_REGION_START": str(slot.region_start), "RAUC_BOOT_REGION_SIZE": str(slot.region_size)}


class _Work:
    def __init__(self, slot: Slot, disk: Medium, content: Content, watch: Watch) -> None:
        self._slot, self._disk, self._content, self._watch = slot, disk, content, watch
        self.written = self.skipped = self._copies = 0
        self.reading = 0.0

    def fill(self, half: Span, pieces: Iterable[bytes | memoryview]) -> None:
        """Makes one half a copy of the image."""
        disk, size = self._disk, self._content.size
        if self._found(half, read_on(disk, half.start, size, disk.sector)) == self._content.sha256:
            self.skipped += size
        else:
            self._rewrite(half, pieces)
            self.written += size
        self._copies += 1
        self._watch.wrote(size * self._copies // 2)

    def _rewrite(self, half: Span, pieces: Iterable[bytes | memoryview]) -> None:
        disk, size = self._disk, self._content.size
        stream = chunks(pieces, size)
        first = next(stream, b"")
        header, at = first[:HEADER], half.start
        if blank(header):
            raise _headerless(f"the first {HEADER} bytes of {self._content.name} are blank")
        self._head(half, bytes(HEADER))
        for part in itertools.chain([bytes(len(header)) + first[HEADER:]], stream):
            disk.write(at, padded(part, disk.sector))
            at += len(part)
            self._watch.wrote((size * self._copies + at - half.start) // 2)
        disk.flush()
        on_medium = read_on(disk, half.start, size, disk.sector)
        found = self._found(half, itertools.chain([header + next(on_medium)[len(header) :]], on_medium))
        if found != self._content.sha256:
            raise differs(self._slot.name, found, self._content.sha256)
        self._head(half, header)

    def _head(self, half: Span, header: bytes) -> None:
        """Writes the header and nothing else: what shares its sector is written as it is."""
        sector = self._disk.read(half.start, self._disk.sector)
        sector = header + sector[len(header) :]
        self._disk.write(half.start, sector)
        self._disk.flush()
        if self._disk.read(half.start, self._disk.sector) != sector:
            raise SlotError(
                "slot.read-back", f"slot {self._slot.name} does not hold what was written to it",
                details=f"the header of the copy at {half}", retryable=True,
                resolution="it is written again from the start; if this repeats, the storage is failing",
            )  # fmt: skip

    def _found(self, half: Span, pieces: Iterable[bytes]) -> str:
        since = time.monotonic()
        try:
            return digest(pieces, self._watch.checked)
        finally:
            self.reading += time.monotonic() - since


def _fitting(slot: Slot, disk: Medium, size: int) -> tuple[Span, Span]:
    halves = halves_of(slot, sector=disk.sector, disk_size=disk.size)
    require_room(slot, size, halves[0].size)
    if size == 0:
        raise _headerless("the image is empty")
    return halves


def _headerless(details: str) -> SlotError:
    return SlotError(
        "slot.header-blank", "the bootloader in the bundle has no header",
        details=f"{details}, so no ROM code would take it", resolution="build the bundle with an image that begins with one",
    )  # fmt: skip


def handler(slot_type: str) -> Handler:
    """The handler for ``boot-raw-fallback``."""
    if slot_type != "boot-raw-fallback":
        raise ValueError(slot_type)
    return FallbackCopy()
