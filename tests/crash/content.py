"""What is in a file after some of the sectors written to it survived. Pure.

A content is a list of runs over the data of writes, so that a slot of many MiB costs nothing until it is put on a disk,
and its fingerprint is found without reading it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

SECTOR = 512  # bytes: what a disk writes as a whole or not at all

_LARGE = 64 * 1024  # bytes


class Source:
    """Bytes that were written to one place of a file.

    Args:
        offset: of the first byte, in the file.
        data: the bytes.
    """

    def __init__(self, offset: int, data: bytes) -> None:
        self.offset, self.data = offset, data
        self._sums: list[int] = []

    @staticmethod
    def shared(offset: int, data: bytes) -> Source:
        """The same source for the same large write, so that it is kept and marked once."""
        if len(data) < _LARGE:
            return Source(offset, data)
        alike = _SHARED.setdefault((offset, len(data), data[:_LARGE:SECTOR], data[-SECTOR:]), [])
        for source in alike:
            if source.data == data:
                return source
        alike.append(Source(offset, data))
        return alike[-1]

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return self.offset + len(self.data)

    def sectors(self) -> int:
        """How many sectors of the disk it touches."""
        return (self.end + SECTOR - 1) // SECTOR - self.offset // SECTOR

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Offsets in the file of the sectors ``first`` (counted from the start of the data) to before ``last``."""
        base = self.offset // SECTOR
        return max(self.offset, (base + first) * SECTOR), min(self.end, (base + last) * SECTOR)

    def mark(self, begin: int, end: int) -> int:
        """A number for the bytes from ``begin`` to ``end`` at their place; the one of two neighbours is both joined by xor."""
        if not self._sums:
            sums, total = [0], 0
            for at in range(0, len(self.data), SECTOR):
                piece = self.data[at : at + SECTOR]
                if piece.strip(b"\0"):  # zeros are what is there without a write, too
                    key = (self.offset + at).to_bytes(8, "little")
                    total ^= int.from_bytes(blake2b(piece, digest_size=16, key=key).digest(), "little")
                sums.append(total)
            self._sums = sums
        first, last = (begin - self.offset) // SECTOR, -(-(end - self.offset) // SECTOR)
        return self._sums[first] ^ self._sums[last]

    def __reduce__(self) -> tuple[object, tuple[int, bytes]]:
        return Source.shared, (self.offset, self.data)


_SHARED: dict[tuple[int, int, bytes, bytes], list[Source]] = {}


@dataclass(frozen=True, slots=True)
class Run:
    """The bytes from ``begin`` to ``end`` of a file come from ``source``."""

    begin: int
    end: int
    source: Source


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of one file; where no run lies they are zero."""

    size: int = 0
    runs: tuple[Run, ...] = field(default=())

    @staticmethod
    def of(data: bytes) -> Content:
        """A content that is known as bytes."""
        return Content().written(Source(0, data), 0, len(data))

    def written(self, source: Source, begin: int, end: int) -> Content:
        """The content after the bytes from ``begin`` to ``end`` of a write arrived."""
        if begin >= end:
            return self
        kept: list[Run] = []
        for run in self.runs:
            if run.begin < min(begin, run.end):
                kept.append(Run(run.begin, min(begin, run.end), run.source))
            if max(end, run.begin) < run.end:
                kept.append(Run(max(end, run.begin), run.end, run.source))
        runs = sorted([*kept, Run(begin, end, source)], key=lambda run: run.begin)
        return Content(max(self.size, end), tuple(runs))

    def cut(self, size: int) -> Content:
        """The content after the file was given another size."""
        runs = tuple(Run(run.begin, min(run.end, size), run.source) for run in self.runs if run.begin < size)
        return Content(size, runs)

    def pieces(self) -> Iterator[tuple[int, memoryview]]:
        """What to write where into a file of zeros."""
        for run in self.runs:
            yield run.begin, memoryview(run.source.data)[run.begin - run.source.offset : run.end - run.source.offset]

    def data(self) -> bytes:
        """All bytes; for small files."""
        whole = bytearray(self.size)
        for at, piece in self.pieces():
            whole[at : at + len(piece)] = piece
        return bytes(whole)

    def fingerprint(self) -> bytes:
        """The same for the same bytes, whatever wrote them, as long as writes to large files are of whole sectors."""
        if self.size <= 64 * SECTOR:
            return blake2b(self.data(), digest_size=16).digest()
        total = self.size
        for run in self.runs:
            total ^= run.source.mark(run.begin, run.end) << 64
        return total.to_bytes(32, "little")
