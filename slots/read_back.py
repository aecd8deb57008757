"""What does the medium really hold? Read past the cache and hashed, afterwards or while it is still being written."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable
from threading import Condition, Thread

from slots.device import Target
from slots.errors import SlotError
from slots.medium import ALIGNMENT

_MIB = 1024 * 1024
_BUFFER = 1024 * 1024  # bytes; each read costs a round through the driver, and a hand-over between threads


def read_back(target: Target | str, size: int, progress: Callable[[int], None]) -> str:
    """Hashes the first ``size`` bytes of what the medium holds.

    Where O_DIRECT is impossible, the pages are dropped from the cache before (posix_fadvise(2), POSIX_FADV_DONTNEED),
    which the kernel does for clean pages that nobody maps; on tmpfs the cache is the medium.

    Args:
        target: an open slot, or the path of a device or file.
        size: in bytes.
        progress: is told how many bytes are read, for each MiB.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        SlotError: ``slot.read-failed`` (with the offset).
    """
    if isinstance(target, Target):
        return _digest(_Reading(target.fd, target.path, target.direct, size), size, progress)
    try:
        fd, direct = _open(target)
    except OSError as error:
        raise _unread(target, 0, size, error.strerror or str(error)) from error
    try:
        return _digest(_Reading(fd, target, direct, size), size, progress)
    finally:
        os.close(fd)


class ReadBack:
    """The same while the slot is being written: a thread that follows the writing, and is nearly done when that is.

    Args:
        target: an open slot.
        size: of the image, in bytes.
        settled: offset in bytes, a multiple of 4096, before which everything is on the medium already.
    """

    def __init__(self, target: Target, size: int, settled: int = 0) -> None:
        self._reading = _Reading(target.fd, target.path, target.direct, size)
        self._size, self._limit = size, settled
        self._changed = Condition()
        self._over = self._ended = self._awaited = False
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="read-back")

    def __enter__(self) -> ReadBack:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def settled(self, offset: int) -> None:
        """Says that everything before ``offset``, a multiple of 4096 or the size, is on the medium."""
        with self._changed:
            self._limit = offset
            self._changed.notify_all()

    def finish(self, progress: Callable[[int], None]) -> str:
        """Waits for the rest; everything must have been settled. Arguments and answer are those of ``read_back``."""
        told, self._awaited = 0, True
        while not self._over or told < self._reading.done:
            told = self._await(told)
            progress(told)
        if self._error is not None:
            raise self._error
        return self._reading.result()

    def _await(self, told: int) -> int:
        """Returns how far the thread is as soon as that is a MiB more, or the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._reading.done // _MIB > told // _MIB)
            return self._reading.done

    def _work(self) -> None:
        try:
            while self._reading.done < self._size:
                with self._changed:
                    self._changed.wait_for(lambda: self._ended or self._limit > self._reading.done)
                    if self._ended:
                        return
                    limit = self._limit
                self._reading.step(limit)
                if self._awaited:
                    with self._changed:
                        self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  whatever it is, the other thread waits for it
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()


class _Reading:
    """Reads the medium from its start, ``done`` bytes so far."""

    def __init__(self, fd: int, path: str, direct: bool, size: int) -> None:
        self.done = 0
        self._fd, self._path, self._direct, self._size = fd, path, direct, size
        self._view = memoryview(mmap.mmap(-1, _BUFFER))  # aligned, as O_DIRECT demands
        self._digest = hashlib.sha256()

    def step(self, limit: int) -> None:
        """Takes the next bytes, at most up to ``limit``, a multiple of 4096 or the size."""
        wanted = min(_BUFFER, limit - self.done)
        try:
            if not self._direct:
                self._forget(wanted)
            count = os.preadv(self._fd, [self._view[: -(-wanted // ALIGNMENT) * ALIGNMENT]], self.done)
        except OSError as error:
            raise _unread(self._path, self.done, self._size, error.strerror or str(error)) from error
        if count <= 0:
            raise _unread(self._path, self.done, self._size, "it ends there")
        count = min(count, wanted)
        self._digest.update(self._view[:count])
        self.done += count

    def _forget(self, wanted: int) -> None:
        """Drops whole pages: a page of which only a part is named stays in the cache (posix_fadvise(2), Notes)."""
        begin, end = self.done // mmap.PAGESIZE, -(-(self.done + wanted) // mmap.PAGESIZE)
        os.posix_fadvise(self._fd, begin * mmap.PAGESIZE, (end - begin) * mmap.PAGESIZE, os.POSIX_FADV_DONTNEED)

    def result(self) -> str:
        """The digest in hexadecimal."""
        return self._digest.hexdigest()


def _digest(reading: _Reading, size: int, progress: Callable[[int], None]) -> str:
    told = 0
    while reading.done < size:
        reading.step(size)
        if reading.done // _MIB > told // _MIB or reading.done == size:
            told = reading.done
            progress(told)
    return reading.result()


def _open(path: str) -> tuple[int, bool]:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT), True
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False  # fails again unless O_DIRECT was the reason


def _unread(path: str, offset: int, size: int, reason: str) -> SlotError:
    return SlotError(
        "slot.read-failed", "the slot could not be read back",
        details=f"{path}, offset {offset} of {size}: {reason}",
        resolution="it is tried again; if this repeats, the storage is failing", retryable=True,
    )  # fmt: skip
