"""Disks in memory that record every write and flush, and what a power cut makes of such a record."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from slots.errors import SlotError
from slots.handlers.halves import Span
from slots.handlers.port import Content
from slots.model import Slot

MIB = 1024 * 1024
_TORN = 512  # bytes: a disk writes so much in one piece or not at all, whatever it calls its sector
_EXHAUSTIVE = 6  # so many pending pieces are combined in every way; of more, samples

Record = list[tuple[int, bytes] | None]  # a write, or None for a flush


@dataclass
class MemoryDisk:
    """A Medium. ``fails_at`` is the number of the write that ends with an error, counted from 0."""

    data: bytearray
    sector: int = 512
    record: Record = field(default_factory=list)
    fails_at: int | None = None
    lies_at: int | None = None  # offset of a byte that the medium cannot keep
    path: str = "a disk in memory"

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        self._whole(offset, length)
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self._whole(offset, len(data))
        if self.fails_at is not None and len(self.writes) >= self.fails_at:
            raise SlotError("slot.write-failed", "the slot could not be written", retryable=True)
        self.data[offset : offset + len(data)] = data
        if self.lies_at is not None and offset <= self.lies_at < offset + len(data):
            self.data[self.lies_at] ^= 1
        if len(data):
            self.record.append((offset, bytes(data)))

    def flush(self) -> None:
        self.record.append(None)

    @property
    def writes(self) -> list[tuple[int, bytes]]:
        return [entry for entry in self.record if entry is not None]

    def _whole(self, offset: int, length: int) -> None:
        assert offset % self.sector == length % self.sector == 0, "O_DIRECT would refuse this"
        assert 0 <= offset <= len(self.data) - length, "beyond the end of the disk"

    @contextmanager
    def opened(self, slot: Slot, span: Span, *, booted: Sequence[str], writable: bool) -> Iterator[MemoryDisk]:
        """An Opener."""
        yield self


def after_cuts(before: bytes, record: Record, seed: int = 0) -> Iterator[bytes]:
    """Every state that a cut can leave: after each entry, with any pieces of what was not flushed yet.

    Writes are torn at 512 bytes and kept in any order. Few pieces are combined in every way, of many there are samples.
    """
    chance, durable, pending = random.Random(seed), bytearray(before), {}
    yield before
    for entry in record:
        if entry is None:
            _apply(durable, pending.items())
            pending = {}
            continue
        offset, data = entry
        pending |= {offset + at: data[at : at + _TORN] for at in range(0, len(data), _TORN)}
        for kept in _choices(sorted(pending), chance):
            state = bytearray(durable)
            _apply(state, ((at, pending[at]) for at in kept))
            yield bytes(state)


def _choices(places: Sequence[int], chance: random.Random) -> Iterator[Iterable[int]]:
    if len(places) <= _EXHAUSTIVE:
        for count in range(len(places) + 1):
            yield from itertools.combinations(places, count)
        return
    yield ()
    yield places
    yield places[1:]
    for _ in range(3):
        yield places[: chance.randrange(len(places))]
        yield chance.sample(places, chance.randrange(len(places)))


def _apply(data: bytearray, pieces: Iterable[tuple[int, bytes]]) -> None:
    for at, piece in pieces:
        data[at : at + len(piece)] = piece


def content(image: bytes, kind: str = "raw", *, told: int | None = None) -> Content:
    """An image of a bundle, in pieces of an odd size. ``told`` is the size that is announced."""

    def pieces(start: int) -> Iterator[bytes]:
        for offset in range(start, len(image), 7000):
            yield image[offset : offset + 7000]

    return Content("image.img", kind, len(image) if told is None else told, hashlib.sha256(image).hexdigest(), pieces)


@dataclass
class Watcher:
    """A Watch that remembers."""

    written: list[int] = field(default_factory=list)
    read: list[int] = field(default_factory=list)

    def wrote(self, done: int) -> None:
        self.written.append(done)

    def checked(self, done: int) -> None:
        self.read.append(done)

    def checkpoint(self, offset: int) -> None:
        raise AssertionError("this slot cannot be resumed")
