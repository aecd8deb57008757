"""What does the medium really hold? Read past the cache and hashed: reading and hashing go on side by side."""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from slots.device import Target
from slots.errors import SlotError
from slots.writer import BUFFER


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
        return _digest(target.fd, target.path, target.direct, size, progress)
    try:
        fd, direct = _open(target)
    except OSError as error:
        raise _unread(target, 0, size, error.strerror or str(error)) from error
    try:
        return _digest(fd, target, direct, size, progress)
    finally:
        os.close(fd)


def _open(path: str) -> tuple[int, bool]:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT), True
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False  # fails again unless O_DIRECT was the reason


def _digest(fd: int, path: str, direct: bool, size: int, progress: Callable[[int], None]) -> str:
    done = 0
    if not direct:
        _drop_cached(fd, path, size)
    with _Hashing() as hashing:
        while done < size:
            view = hashing.room()
            try:
                count = min(os.preadv(fd, [view], done), size - done)
            except OSError as error:
                raise _unread(path, done, size, error.strerror or str(error)) from error
            if count <= 0:
                raise _unread(path, done, size, "it ends there")
            hashing.take(view, count)
            done += count
            progress(done)
    return hashing.result()


class _Hashing:
    """SHA-256 in a thread of its own, over two buffers: one is hashed while the other one is filled."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._filled: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(2):
            self._free.put(memoryview(mmap.mmap(-1, BUFFER)))  # aligned, as O_DIRECT demands
        self._thread = threading.Thread(target=self._work, name="hash")

    def __enter__(self) -> _Hashing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._filled.put(None)
        self._thread.join()

    def room(self) -> memoryview:
        """A buffer to fill; waits until there is one."""
        return self._free.get()

    def take(self, view: memoryview, count: int) -> None:
        """Hashes the first ``count`` bytes of a buffer, after those before."""
        self._filled.put((view, count))

    def result(self) -> str:
        """The digest in hexadecimal, after the end."""
        return self._digest.hexdigest()

    def _work(self) -> None:
        while (item := self._filled.get()) is not None:
            view, count = item
            self._digest.update(view[:count])
            self._free.put(view)


def _drop_cached(fd: int, path: str, size: int) -> None:
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        raise _unread(path, 0, size, error.strerror or str(error)) from error


def _unread(path: str, offset: int, size: int, reason: str) -> SlotError:
    return SlotError(
        "slot.read-failed", "the slot could not be read back",
        details=f"{path}, offset {offset} of {size}: {reason}",
        resolution="it is tried again; if this repeats, the storage is failing", retryable=True,
    )  # fmt: skip
