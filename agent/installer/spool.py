"""A plain bundle from a server, whole, in a file: resumed after an interruption, reused for the installation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread

from agent.bundle.source import PIECE, FileSource, RemoteSource, Source
from agent.errors import BundleError, EnvironmentFault

PLAIN_LIMIT = (1 << 31) - 1  # RAUC's limit for plain bundles since CVE-2026-34155
_RESERVE = 16 * 1024 * 1024  # left free on the file system, for the state of everybody
_SYNC_EVERY = 4 * 1024 * 1024
_TELL_EVERY = 1024 * 1024
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def spool(
    source: RemoteSource, path: Path, sha256: str, progress: Callable[[int, int], None], held: int = 1
) -> Iterator[Source]:
    """Fetches the whole bundle into ``path``, going on where an earlier attempt stopped, from the first read on in a thread.

    Args:
        source: the remote bundle; nobody else may read from it meanwhile.
        path: file to fill; its name must belong to this deployment alone.
        sha256: digest that the server announced, or empty; only guards against mixing transfers, trust comes later.
        progress: told bytes done and bytes in all, by the thread.
        held: bytes at the end, at least 1, that cannot be read before the whole bundle is stored and has that digest.

    Yields:
        The bundle as a file, open on the descriptor that was written. Bytes that did not come yet are waited for; a transfer
        that nobody waits for any more is ended with the block.

    Raises:
        BundleError: ``bundle.too-large``; while it is read, ``bundle.hash-mismatch``.
        EnvironmentFault: ``storage.no-space``; while it is read, ``storage.write-failed`` and whatever the transfer raises.
    """
    if source.size > PLAIN_LIMIT:
        raise BundleError(
            "bundle.too-large", "a plain bundle may not be larger than 2 GiB", details=f"{source.size} bytes",
            resolution="build a verity bundle, which is streamed and has no such limit",
        )  # fmt: skip
    part = path.with_suffix(".part")
    try:
        kept = path.exists()
        fd = os.open(path, _OPEN) if kept else os.open(part, _OPEN | os.O_CREAT, 0o600)
    except OSError as error:
        raise _not_stored(error) from error
    if kept:
        yield FileSource(fd)
        return
    # What was written since the last sync but one may be gone after a power cut although the file is long enough.
    done = max(0, (min(os.fstat(fd).st_size, source.size) // _SYNC_EVERY - 2) * _SYNC_EVERY)
    free = _free(path.parent)
    if source.size - done + _RESERVE > free:
        raise EnvironmentFault(
            "storage.no-space", "there is no room to keep the bundle", retryable=False,
            details=f"{source.size - done} bytes are missing, {free} are free beside {path.parent}",
            resolution="free space there, or deploy a verity bundle, which needs no space",
        )  # fmt: skip
    with _Filling(source, (fd, part, path), done, sha256, progress, held) as filling:
        yield filling


class _Filling:
    """A Source over a file that a thread fills."""

    def __init__(
        self,
        source: RemoteSource,
        places: tuple[int, Path, Path],
        done: int,
        sha256: str,
        progress: Callable[[int, int], None],
        held: int,
    ) -> None:
        self._source, self._sha256, self._progress = source, sha256, progress
        self._fd, self._part, self._path = places
        self._start = self._done = done
        self._free = source.size - held  # what may be read before the end
        self._changed = Condition()
        self._begun = self._came = self._over = False
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="spool")

    def __enter__(self) -> _Filling:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._came:
            self._source.abandon()
        if self._begun:
            self._thread.join()

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        if not self._begun:
            self._begun = True
            self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._over or min(self._done, self._free) >= offset + length)
        if self._error is not None:
            raise self._error
        return FileSource(self._fd).read_at(offset, length)

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """See Source."""
        end = offset + length
        for start in range(offset, end, PIECE):
            yield self.read_at(start, min(PIECE, end - start))

    def _work(self) -> None:
        try:
            self._fill()
        except OSError as error:
            self._error = _not_stored(error)
        except BaseException as error:  # noqa: BLE001  whatever it is, the reader waits for it
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _fill(self) -> None:
        digest = _digest_of(self._fd, self._start) if self._sha256 else None
        os.ftruncate(self._fd, self._start)
        with _Flushing(self._fd) as flushing:
            self._receive(digest, flushing)
            if digest is not None and digest.hexdigest() != self._sha256:
                self._part.unlink()
                raise BundleError(
                    "bundle.hash-mismatch", "the transferred bundle is not the announced one", retryable=self._start > 0,
                    details=f"the server announced sha256 {self._sha256[:16]}...", resolution="upload the bundle again",
                )  # fmt: skip
            with self._changed:
                self._free = self.size
                self._changed.notify_all()
            flushing.end()
        os.fsync(self._fd)
        self._part.rename(self._path)

    def _receive(self, digest: hashlib._Hash | None, flushing: _Flushing) -> None:
        synced = told = self._start
        for piece in self._source.stream(self._start, self.size - self._start):
            written = 0
            while written < len(piece):
                written += os.pwrite(self._fd, memoryview(piece)[written:], self._done + written)
            with self._changed:
                self._done += len(piece)
                self._changed.notify_all()
            if digest is not None:
                digest.update(piece)
            if self._done - told >= _TELL_EVERY or self._done == self.size:
                told = self._done
                self._progress(told, self.size)
            if self._done - synced >= _SYNC_EVERY:
                flushing.begin()
                synced = self._done
        self._came = True


class _Flushing:
    """Flushes what was written to a file, one flush at a time, while more of it comes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._thread: Thread | None = None
        self._error: OSError | None = None

    def __enter__(self) -> _Flushing:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.join()

    def begin(self) -> None:
        """Begins a flush, after the one before has ended; raises what that one raised."""
        self.end()
        self._thread = Thread(target=self._flush, name="flush")
        self._thread.start()

    def end(self) -> None:
        """Waits for the flush that was begun; raises what it raised."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _flush(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._error = error


def _not_stored(error: OSError) -> EnvironmentFault:
    return EnvironmentFault("storage.write-failed", "the bundle cannot be stored", details=str(error))


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _digest_of(fd: int, length: int) -> hashlib._Hash:
    """SHA-256 of the first bytes."""
    digest = hashlib.sha256()
    for piece in FileSource(fd).stream(0, length):
        digest.update(piece)
    return digest
