"""Writes an image into an open slot.

The page cache is bypassed where that is possible: a large image would only push everything else out of memory, and a
write is an answer of the device, not a promise of the kernel. O_DIRECT wants memory, offset and length in multiples of
the logical block size (open(2), Notes); memory from mmap and multiples of 4096 satisfy every device in use.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable, Iterable

from slots.device import Target
from slots.errors import SlotError

BUFFER = 1024 * 1024  # bytes per write; smaller ones cost calls, larger ones gain nothing
ALIGNMENT = 4096  # bytes


def write_image(
    target: Target,
    pieces: Iterable[bytes | memoryview],
    size: int,
    *,
    start: int = 0,
    progress: Callable[[int], None],
    checkpoint: Callable[[int], None],
    every: int = 8 * BUFFER,
) -> int:
    """Writes the image from ``start`` on; bytes of the slot behind its end may become zero, up to the next 4096.

    Args:
        target: an open slot.
        pieces: the content of the image from ``start`` on, in pieces of any size.
        size: of the whole image, in bytes; it must be met exactly.
        start: byte offset, a multiple of 4096; everything before it is on the medium already.
        progress: is told how many bytes of the image are written; at most once for each MiB, and at the end.
        checkpoint: is told an offset, a multiple of ``every``, when everything before it is surely on the medium.
        every: bytes between two checkpoints, a multiple of 1 MiB.

    Returns:
        The number of bytes written, ``size - start``. They are on the medium.

    Raises:
        SlotError: ``slot.size-mismatch``, ``slot.too-small``, ``slot.write-failed`` (with the offset).
        ValueError: ``start`` or ``every`` is not what is said above.
    """
    if start % ALIGNMENT or not 0 <= start <= size:
        raise ValueError(f"{start} is no place to start in an image of {size} bytes")
    if every <= 0 or every % BUFFER:
        raise ValueError(f"{every} is no multiple of {BUFFER}")
    if size > target.capacity:
        raise SlotError("slot.too-small", "the image does not fit", details=f"{size} bytes into {target.capacity}")
    writing = _Writing(target, size, start, progress, checkpoint, every)
    for piece in pieces:
        writing.take(piece)
    writing.finish()
    return size - start


class _Writing:
    """Collects pieces in one aligned buffer; a full one ends at a multiple of 1 MiB, whatever ``start`` was."""

    def __init__(
        self,
        target: Target,
        size: int,
        start: int,
        progress: Callable[[int], None],
        checkpoint: Callable[[int], None],
        every: int,
    ) -> None:
        self._target, self._size, self._every = target, size, every
        self._progress, self._checkpoint = progress, checkpoint
        self._view = memoryview(mmap.mmap(-1, BUFFER))
        self._done = start  # offset up to which the slot is written
        self._held = 0  # bytes in the buffer
        self._room = BUFFER - start % BUFFER

    def take(self, piece: bytes | memoryview) -> None:
        rest = memoryview(piece).cast("B")
        if self._done + self._held + len(rest) > self._size:
            raise self._mismatch("more")
        while rest:
            count = min(len(rest), self._room - self._held)
            self._view[self._held : self._held + count] = rest[:count]
            self._held += count
            rest = rest[count:]
            if self._held == self._room:
                self._flush()

    def finish(self) -> None:
        if self._done + self._held != self._size:
            raise self._mismatch("less")
        if self._held:
            self._tail()
        self._sync()

    def _flush(self) -> None:
        self._put(0, self._held)
        self._held, self._room = 0, BUFFER
        self._progress(self._done)
        if self._done % self._every == 0:
            self._sync()
            self._checkpoint(self._done)

    def _tail(self) -> None:
        """The last buffer, filled up to whole blocks when the slot has room for that; else its end goes by the cache."""
        whole = self._held // ALIGNMENT * ALIGNMENT
        padded = whole if whole == self._held else whole + ALIGNMENT
        left = self._held - whole
        if not self._target.direct or (self._target.block and self._done + padded <= self._target.capacity):
            end = padded if self._target.direct else self._held
            self._view[self._held : end] = bytes(end - self._held)
            self._put(0, end)
        else:
            self._put(0, whole)
            if left:
                self._uncached(False)
                self._put(whole, whole + left)
                self._sync()
                self._uncached(True)
        self._done = self._size
        self._progress(self._done)

    def _put(self, begin: int, end: int) -> None:
        """Writes a part of the buffer to where the slot is written up to."""
        rest = self._view[begin:end]
        while rest:
            try:
                count = os.pwrite(self._target.fd, rest, self._done)
            except OSError as error:
                raise self._failed(error.strerror or str(error)) from error
            if count <= 0:
                raise self._failed("the device took no bytes")
            self._done += count
            rest = rest[count:]

    def _sync(self) -> None:
        try:
            os.fsync(self._target.fd)
        except OSError as error:
            raise self._failed(f"fsync: {error.strerror}") from error

    def _uncached(self, direct: bool) -> None:
        flags = fcntl.fcntl(self._target.fd, fcntl.F_GETFL)
        fcntl.fcntl(self._target.fd, fcntl.F_SETFL, flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT)

    def _mismatch(self, word: str) -> SlotError:
        return SlotError(
            "slot.size-mismatch", "the image does not have the size that was announced",
            details=f"{word} than {self._size} bytes", resolution="build the bundle again",
        )  # fmt: skip

    def _failed(self, reason: str) -> SlotError:
        return SlotError(
            "slot.write-failed", "the slot could not be written",
            details=f"{self._target.path}, offset {self._done} of {self._size}: {reason}",
            resolution="it is tried again; if this repeats, the storage is failing or full", retryable=True,
        )  # fmt: skip
