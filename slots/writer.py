"""Writes an image into an open slot, in a thread beside the one that makes the image.

The page cache is bypassed where that is possible: a large image would only push everything else out of memory, and a
write is an answer of the device, not a promise of the kernel.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread

from slots.device import Target
from slots.errors import SlotError
from slots.medium import ALIGNMENT, BUFFER, Medium

_BUFFERS = 2  # one is filled while the other one is written
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Statistics:
    """Bytes of the image that went to the medium, and bytes that were there already."""

    written: int
    skipped: int


def write_image(
    target: Target,
    pieces: Iterable[bytes | memoryview],
    size: int,
    *,
    start: int = 0,
    progress: Callable[[int], None],
    checkpoint: Callable[[int], None],
    settled: Callable[[int], None] | None = None,
    every: int = 8 * _MIB,
    pause: float = 0.25,
) -> Statistics:
    """Writes the image from ``start`` on; bytes of the slot behind its end may become zero, up to the next 4096.

    Args:
        target: an open slot.
        pieces: the content of the image from ``start`` on, in pieces of any size.
        size: of the whole image, in bytes; it must be met exactly.
        start: byte offset, a multiple of 4096; everything before it is on the medium already.
        progress: is told how many bytes of the image are written; at most once for each MiB, and at the end.
        checkpoint: is told an offset, a multiple of 4096, when everything before it is surely on the medium.
        settled: the same at once, from another thread, and at last with ``size``.
        every: bytes between two checkpoints at least, a multiple of 1 MiB; an image that breaks off gets one where it did.
        pause: seconds between two checkpoints at least, since each costs the storage of the agent a write as well.

    Returns:
        How many bytes were written and skipped. All of the image is on the medium.

    Raises:
        SlotError: ``slot.size-mismatch``, ``slot.too-small``, ``slot.write-failed`` (with the offset).
        ValueError: ``start`` or ``every`` is not what is said above.
    """
    if start % ALIGNMENT or not 0 <= start <= size:
        raise ValueError(f"{start} is no place to start in an image of {size} bytes")
    if every <= 0 or every % _MIB:
        raise ValueError(f"{every} is no multiple of {_MIB}")
    if size > target.capacity:
        raise SlotError("slot.too-small", "the image does not fit", details=f"{size} bytes into {target.capacity}")
    medium = Medium(target, size)
    report = _Report(start, progress, checkpoint)
    with _Writing(medium, start, (every, pause), report, settled or _nobody) as writing:
        for piece in _exactly(pieces, size - start, size):
            writing.take(piece)
        writing.finish()
    if report.told < size or not size:
        progress(size)
    return Statistics(medium.written, medium.skipped)


def _exactly(pieces: Iterable[bytes | memoryview], wanted: int, size: int) -> Iterable[memoryview]:
    """Lets the pieces through; the first byte too many, or too few at the end, is refused."""
    for piece in pieces:
        view = memoryview(piece).cast("B")
        wanted -= len(view)
        if wanted < 0:
            raise _mismatch(f"more than {size} bytes")
        yield view
    if wanted:
        raise _mismatch(f"less than {size} bytes")


class _Report:
    """Hands what the writing thread has reached to the callbacks, which belong to the other one."""

    def __init__(self, start: int, progress: Callable[[int], None], checkpoint: Callable[[int], None]) -> None:
        self.told = start
        self._progress, self._checkpoint = progress, checkpoint
        self._reached: SimpleQueue[int] = SimpleQueue()

    def reached(self, offset: int) -> None:
        """Notes a checkpoint."""
        self._reached.put(offset)

    def tell(self, done: int) -> None:
        """Calls back with all that is new; ``done`` bytes are written."""
        with suppress(Empty):
            while True:
                self._checkpoint(self._reached.get_nowait())
        if done // _MIB > self.told // _MIB:
            self.told = done
            self._progress(done)


class _Writing:
    """Fills aligned buffers for a thread that writes them; each ends at a multiple of ``BUFFER``, whatever ``start`` was.

    A thread that has failed goes on giving buffers back, so that nobody waits for it; ``take`` and ``finish`` then raise.
    What was handed over is written in any case, so that an interrupted write is resumed as late as possible.
    """

    def __init__(
        self, medium: Medium, start: int, pace: tuple[int, float], report: _Report, settled: Callable[[int], None]
    ) -> None:
        self._medium, self._report, self._settled = medium, report, settled
        self._every, self._pause = pace
        self._last, self._since = start, -pace[1]  # checkpoint, and when
        self._done = start  # offset up to which the slot is written
        self._at = start  # offset up to which buffers were handed over
        self._held, self._room = 0, BUFFER - start % BUFFER
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(_BUFFERS - 1):
            self._free.put(memoryview(mmap.mmap(-1, BUFFER)))
        self._view = memoryview(mmap.mmap(-1, BUFFER))
        self._full: SimpleQueue[tuple[memoryview, int, int] | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="write")

    def __enter__(self) -> _Writing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._full.put(None)
        self._thread.join()
        self._report.tell(self._done)

    def take(self, rest: memoryview) -> None:
        """Adds bytes of the image; waits while all buffers are full."""
        while rest:
            count = min(len(rest), self._room - self._held)
            self._view[self._held : self._held + count] = rest[:count]
            self._held += count
            rest = rest[count:]
            if self._held == self._room:
                self._hand_over()

    def finish(self) -> None:
        """Returns when everything is on the medium."""
        if self._held:
            self._hand_over()
        self._full.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _hand_over(self) -> None:
        self._full.put((self._view, self._held, self._at))
        self._at += self._held
        self._held, self._room = 0, BUFFER
        self._view = self._free.get()
        if self._error is not None:
            raise self._error
        self._report.tell(self._done)

    def _work(self) -> None:
        while (job := self._full.get()) is not None:
            self._guarded(partial(self._write, *job))
            self._free.put(job[0])
        self._guarded(self._settle)

    def _guarded(self, step: Callable[[], None]) -> None:
        if self._error is None:
            try:
                step()
            except BaseException as error:  # noqa: BLE001  whatever it is, the other thread waits for it
                self._error = error

    def _write(self, view: memoryview, count: int, offset: int) -> None:
        if count % ALIGNMENT:
            self._medium.put_end(view, count, offset)
        else:
            self._medium.put(view[:count], offset)
        self._done = offset + count
        if self._done % self._every == 0 and time.monotonic() - self._since >= self._pause:
            self._settle()

    def _settle(self) -> None:
        self._medium.sync(self._done)
        self._settled(self._done)
        if self._done % ALIGNMENT == 0 and self._done > self._last:
            self._report.reached(self._done)
        self._last, self._since = self._done, time.monotonic()


def _nobody(_: int) -> None:
    pass


def _mismatch(details: str) -> SlotError:
    return SlotError(
        "slot.size-mismatch", "the image does not have the size that was announced", details=details,
        resolution="build the bundle again",
    )  # fmt: skip
