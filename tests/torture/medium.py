"""A drive at one moment of its write log, and what of it a power cut may leave. Pure.

The model is a drive with a volatile cache: a write is there for sure when a flush was logged after it; of the writes since the
last flush any may be there, whatever became of the others, and of each any of its sectors. A drive without a cache holds all
that was logged but the last write, which may be torn.

Nothing is copied: a state is the base image, and for each sector that was written where its bytes are in the log. What a
region holds has a mark, the sum (exclusive or) of one for each sector, that is kept up with each write. So whether a slot
holds an image is known without reading it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from mmap import mmap
from random import Random

from torture.writelog import FUA, Entry

SECTOR = 512  # bytes: what a drive writes as a whole or not at all
_ZEROS = -1  # in place of an offset in the log
_EMPTY = bytes(SECTOR)
Bytes = bytes | mmap


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a drive, in bytes. ``name`` is the label of the partition."""

    name: str
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Some sectors of one entry that survive: from ``first`` to before ``last``, counted from the start of the entry."""

    entry: Entry
    first: int
    last: int


def mark(data: bytes, sector: int) -> int:
    """A number for what a sector of a region holds; 0 for zeros, which is also what is there before the first write."""
    if data == _EMPTY:
        return 0
    return int.from_bytes(blake2b(data, digest_size=16, salt=sector.to_bytes(8, "little")).digest(), "little")


def mark_of(content: Bytes, start: int = 0, size: int | None = None) -> int:
    """The mark of a region that holds these bytes, filled up with zeros."""
    total, end = 0, len(content) if size is None else min(len(content), start + size)
    step = 256 * SECTOR
    empty = bytes(step)
    for base in range(start, end, step):
        block = content[base : min(base + step, end)]
        if block == empty:
            continue
        for at in range(0, len(block), SECTOR):
            total ^= mark(block[at : at + SECTOR].ljust(SECTOR, b"\0"), (base + at - start) // SECTOR)
    return total


class View:
    """What is found on the drive after a power cut.

    Attributes:
        marks: what changed in each region, by name: the mark of what it holds now and of what it held at the beginning.
    """

    def __init__(self, medium: Medium, over: Mapping[int, int], marks: Mapping[str, int]) -> None:
        self._medium, self._over, self.marks = medium, over, marks

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes."""
        return b"".join(
            self._medium.sector(self._over, number)
            for number in range(offset // SECTOR, -(-(offset + length) // SECTOR))
        )[offset % SECTOR : offset % SECTOR + length]

    def sectors(self) -> Iterable[tuple[int, bytes]]:
        """What differs from the base image: numbers of sectors, and what they hold."""
        for number in {**self._medium.durable, **self._over}:
            yield number, self._medium.sector(self._over, number)


class Medium:
    """One drive, before the first entry of its log.

    Args:
        base: what it held when the log began.
        log: the log.
        regions: what marks are kept of; they do not overlap.
        cached: whether it has a volatile cache.
    """

    def __init__(self, base: Bytes, log: Bytes, regions: Sequence[Region], *, cached: bool = True) -> None:
        self._base, self._log, self._regions, self._cached = base, log, regions, cached
        self.durable: dict[int, int] = {}
        self._marks = {region.name: 0 for region in regions}
        self.pending: list[Entry] = []
        self._over: dict[int, int] = {}  # all that is pending
        self._over_marks = dict(self._marks)
        self._before: View = View(self, {}, self._marks)
        self._known: dict[int, _Known] = {}  # by place in the log

    def take(self, entry: Entry) -> None:
        """The next entry of the log is done."""
        if entry.flushes or not self._cached:
            self.settle()
        if not entry.length:
            return
        self._before = View(self, dict(self._over), dict(self._over_marks))
        self.pending.append(entry)
        self._put(self._over, self._over_marks, Piece(entry, 0, entry.length // SECTOR))

    def settle(self) -> None:
        """All that is pending is on the medium."""
        self.durable |= self._over
        self._marks = dict(self._over_marks)
        self.pending, self._over, self._known = [], {}, {}

    def everything(self) -> View:
        """All that was written is there: the order of the log was kept, and the power failed now."""
        return View(self, self._over, self._over_marks)

    def nothing(self) -> View:
        """Only what is there for sure."""
        return self._chosen(Piece(each, 0, each.length // SECTOR) for each in self.pending if each.flags & FUA)

    def torn(self, chance: Random) -> View | None:
        """All is there but the last write, and some sectors of that; None when it is one sector or nothing."""
        if not self.pending or self.pending[-1].length <= SECTOR:
            return None
        over, marks = dict(self._before._over), dict(self._before.marks)
        for piece in torn(self.pending[-1], chance):
            self._put(over, marks, piece)
        return View(self, over, marks)

    def some(self, chance: Random) -> View | None:
        """Any of what is pending is there, some of it torn; None when that is one write or none."""
        if len(self.pending) < 2:
            return None
        return self._chosen(survivors(self.pending, chance))

    def sector(self, over: Mapping[int, int], number: int) -> bytes:
        """What a sector holds."""
        at = over.get(number)
        if at is None:
            at = self.durable.get(number)
        if at is None:
            return self._base[number * SECTOR : (number + 1) * SECTOR].ljust(SECTOR, b"\0")
        return _EMPTY if at == _ZEROS else self._log[at : at + SECTOR]

    def _chosen(self, pieces: Iterable[Piece]) -> View:
        over: dict[int, int] = {}
        marks = dict(self._marks)
        for piece in pieces:
            self._put(over, marks, piece)
        return View(self, over, marks)

    def _put(self, over: dict[int, int], marks: MutableMapping[str, int], piece: Piece) -> None:
        """Sectors of an entry replace what is there."""
        entry, known = piece.entry, self._known_of(piece.entry)
        start = entry.offset // SECTOR
        free = over.keys().isdisjoint(range(start + piece.first, start + piece.last))
        for name, first, last in known.parts:
            begin, end = max(first, piece.first), min(last, piece.last)
            if begin < end:
                change = known.new[begin] ^ known.new[end] ^ known.old[begin] ^ known.old[end]
                if not free:
                    change ^= self._covered(over, entry, known, begin, end)
                marks[name] ^= change
        numbers = range(start + piece.first, start + piece.last)
        if entry.discards:
            over.update(dict.fromkeys(numbers, _ZEROS))
        else:
            data = entry.data
            over.update(
                zip(numbers, range(data + piece.first * SECTOR, data + piece.last * SECTOR, SECTOR), strict=True)
            )

    def _covered(self, over: Mapping[int, int], entry: Entry, known: _Known, begin: int, end: int) -> int:
        """For sectors that hide what is pending: the marks of that, in place of those of what lies below it."""
        start, change = entry.offset // SECTOR, 0
        for number in range(begin, end):
            at = over.get(start + number)
            if at is not None:
                change ^= known.old[number] ^ known.old[number + 1]
                if at != _ZEROS:
                    change ^= mark(self._log[at : at + SECTOR], start + number - known.bases[number])
        return change

    def _known_of(self, entry: Entry) -> _Known:
        known = self._known.get(entry.header)
        if known is None:
            known = self._known[entry.header] = self._know(entry)
        return known

    def _know(self, entry: Entry) -> _Known:
        start, count = entry.offset // SECTOR, entry.length // SECTOR
        parts, bases = [], [0] * count
        new, old = [0] * (count + 1), [0] * (count + 1)
        for region in self._regions:
            base = region.start // SECTOR
            first, last = max(0, base - start), min(count, base + region.size // SECTOR - start)
            if first < last:
                parts.append((region.name, first, last))
                bases[first:last] = [base] * (last - first)
        inside = {number for _, first, last in parts for number in range(first, last)}
        for number in range(count):
            mine = theirs = 0
            if number in inside:
                salt, at = start + number - bases[number], entry.data + number * SECTOR
                mine = 0 if entry.discards else mark(self._log[at : at + SECTOR], salt)
                theirs = mark(self.sector({}, start + number), salt)
            new[number + 1], old[number + 1] = new[number] ^ mine, old[number] ^ theirs
        return _Known(parts, bases, new, old)


@dataclass(frozen=True, slots=True)
class _Known:
    """What an entry does to the marks.

    Attributes:
        parts: regions that it touches, by name, and which of its sectors lie there.
        bases: of each of its sectors, the first sector of the region.
        new: the marks of what it writes, summed up from its first sector on.
        old: the same of what is there for sure.
    """

    parts: list[tuple[str, int, int]]
    bases: list[int]
    new: list[int]
    old: list[int]


def survivors(pending: Sequence[Entry], chance: Random) -> list[Piece]:
    """What of some pending writes is there, in their order. What was written through the cache always is."""
    kind = chance.choice(("any", "any", "first", "lost", "torn"))
    border, lost = chance.randint(0, len(pending)), chance.randrange(len(pending))
    found: list[Piece] = []
    for number, entry in enumerate(pending):
        count = entry.length // SECTOR
        if entry.flags & FUA:
            kept = True
        elif kind == "first":
            kept = number < border
        elif kind == "lost":
            kept = number != lost
        else:
            kept = chance.random() < 0.5
        if kind == "torn" and not entry.flags & FUA and chance.random() < 0.3:
            found += torn(entry, chance)
        elif kept:
            found.append(Piece(entry, 0, count))
    return found


def torn(entry: Entry, chance: Random) -> list[Piece]:
    """Some sectors of one write."""
    count = entry.length // SECTOR
    if count < 2:
        return []
    border = chance.randrange(1, count)
    kind = chance.choice(("head", "head", "tail", "hole", "one"))
    if kind == "head":
        return [Piece(entry, 0, border)]
    if kind == "tail":
        return [Piece(entry, border, count)]
    if kind == "one":
        return [Piece(entry, border, border + 1)]
    return [Piece(entry, 0, border), Piece(entry, min(border + 1, count), count)]
