"""The data blocks of one file: taken off one sequential stream, unpacked ahead by a few threads, given out in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from queue import SimpleQueue
from threading import Thread

from agent.bundle.compression import Decompress
from agent.bundle.squashfs_format import invalid

WORKERS = 2
_AHEAD = 256 * 1024  # bytes, unpacked, that may wait; twice that in the worst case with the packed bytes
_WORTH_A_THREAD = 32 * 1024  # smaller blocks cost more to hand over than to unpack


@dataclass(frozen=True, slots=True)
class Block:
    """One data block: bytes in the stream (0 is a hole), whether they are packed, and bytes that it stands for."""

    stored: int
    packed: bool
    length: int


class Cutter:
    """Cuts a stream of pieces of any size into the lengths that are asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._piece = memoryview(b"")

    def take(self, length: int) -> bytes:
        """Returns the next ``length`` bytes; raises ``bundle.squashfs-invalid`` when the stream ends early."""
        if length <= len(self._piece):
            taken = bytes(self._piece[:length])
            self._piece = self._piece[length:]
            return taken
        parts = [self._piece]
        missing = length - len(self._piece)
        while missing:
            piece = memoryview(next(self._pieces, b""))
            if not piece:
                raise invalid("the data ends early")
            parts.append(piece[:missing])
            self._piece = piece[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)


def unpack(data: bytes, packed: bool, length: int, decompress: Decompress) -> bytes:
    """Returns the ``length`` bytes that a block stands for; raises ``bundle.squashfs-invalid`` for any other length."""
    if packed:
        data = decompress(data, length)
    if len(data) != length:
        raise invalid(f"a block of {len(data)} bytes where {length} should be")
    return data


def unpacked(
    blocks: Iterable[Block], pieces: Iterable[bytes], decompress: Decompress, block_size: int
) -> Iterator[bytes]:
    """Yields what the blocks stand for, in order, each at most ``block_size`` bytes.

    Args:
        blocks: the blocks in the order of the stream.
        pieces: the stream of their stored bytes.
        decompress: must be callable from several threads.
        block_size: of the file system, in bytes.
    """
    if block_size < _WORTH_A_THREAD or len(os.sched_getaffinity(0)) < 2:
        return _in_turn(blocks, Cutter(pieces), decompress, bytes(block_size))
    return _ahead(blocks, Cutter(pieces), decompress, bytes(block_size))


def _in_turn(blocks: Iterable[Block], cutter: Cutter, decompress: Decompress, hole: bytes) -> Iterator[bytes]:
    for block in blocks:
        if block.stored:
            yield unpack(cutter.take(block.stored), block.packed, block.length, decompress)
        else:
            yield hole[: block.length]


def _ahead(blocks: Iterable[Block], cutter: Cutter, decompress: Decompress, hole: bytes) -> Iterator[bytes]:
    depth = max(WORKERS, _AHEAD // len(hole))
    waiting: deque[_Helper | bytes] = deque()
    helpers = [_Helper(decompress) for _ in range(WORKERS)]
    turn = cycle(helpers)
    try:
        for block in blocks:
            if not block.stored:
                waiting.append(hole[: block.length])
            elif block.packed:
                helper = next(turn)
                helper.give(cutter.take(block.stored), block.length)
                waiting.append(helper)
            else:
                waiting.append(unpack(cutter.take(block.stored), False, block.length, decompress))
            if len(waiting) > depth:
                yield _finished(waiting.popleft())
        while waiting:
            yield _finished(waiting.popleft())
    finally:
        for helper in helpers:
            helper.end()


def _finished(item: _Helper | bytes) -> bytes:
    return item if isinstance(item, bytes) else item.result()


class _Helper:
    """A thread that unpacks one block after the other. An executor would do, but costs 1 MiB of modules."""

    def __init__(self, decompress: Decompress) -> None:
        self._decompress = decompress
        self._inbox: SimpleQueue[tuple[bytes, int] | None] = SimpleQueue()
        self._outbox: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._ended = False
        self._thread = Thread(target=self._work, name="unpack", daemon=True)
        self._thread.start()

    def give(self, data: bytes, length: int) -> None:
        """Adds a packed block that stands for ``length`` bytes."""
        self._inbox.put((data, length))

    def result(self) -> bytes:
        """Returns the oldest block that was given and not returned yet, or raises what its unpacking raised."""
        found = self._outbox.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def end(self) -> None:
        """Drops what is not unpacked yet, and waits until the thread is gone."""
        self._ended = True
        self._inbox.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._inbox.get()) is not None and not self._ended:
            try:
                self._outbox.put(unpack(job[0], True, job[1], self._decompress))
            except BaseException as error:  # noqa: BLE001  whatever it is, the reader waits for it
                self._outbox.put(error)
