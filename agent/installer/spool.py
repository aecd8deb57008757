"""A plain bundle from a server, whole, in a file: resumed after an interruption, reused for the installation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from agent.bundle.source import FileSource, RemoteSource
from agent.errors import BundleError, EnvironmentFault

PLAIN_LIMIT = (1 << 31) - 1  # RAUC's limit for plain bundles since CVE-2026-34155
_RESERVE = 16 * 1024 * 1024  # left free on the file system, for the state of everybody
_SYNC_EVERY = 8 * 1024 * 1024
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


def spool(source: RemoteSource, path: Path, sha256: str, progress: Callable[[int, int], None]) -> FileSource:
    """Fetches the whole bundle into ``path``, going on where an earlier attempt stopped.

    Args:
        source: the remote bundle.
        path: file to fill; its name must belong to this deployment alone.
        sha256: digest that the server announced, or empty; only guards against mixing transfers, trust comes later.
        progress: told bytes done and bytes in all.

    Returns:
        The bundle as a file, open on the descriptor that was written.

    Raises:
        BundleError: ``bundle.too-large``, ``bundle.hash-mismatch``.
        EnvironmentFault: ``storage.no-space``, ``storage.write-failed`` and whatever the transfer raises.
    """
    if source.size > PLAIN_LIMIT:
        raise BundleError(
            "bundle.too-large", "a plain bundle may not be larger than 2 GiB", details=f"{source.size} bytes",
            resolution="build a verity bundle, which is streamed and has no such limit",
        )  # fmt: skip
    part = path.with_suffix(".part")
    try:
        if path.exists():
            return FileSource(os.open(path, _OPEN))
        fd = os.open(part, _OPEN | os.O_CREAT, 0o600)
    except OSError as error:
        raise _not_stored(error) from error
    # What was written since the last sync may be gone after a power cut although the file is long enough.
    done = max(0, (min(os.fstat(fd).st_size, source.size) // _SYNC_EVERY - 1) * _SYNC_EVERY)
    free = _free(path.parent)
    if source.size - done + _RESERVE > free:
        raise EnvironmentFault(
            "storage.no-space", "there is no room to keep the bundle", retryable=False,
            details=f"{source.size - done} bytes are missing, {free} are free beside {path.parent}",
            resolution="free space there, or deploy a verity bundle, which needs no space",
        )  # fmt: skip
    try:
        _fill(source, fd, done, progress)
    except OSError as error:
        raise _not_stored(error) from error
    if sha256 and _digest(fd) != sha256:
        part.unlink()
        raise BundleError(
            "bundle.hash-mismatch", "the transferred bundle is not the announced one", retryable=done > 0,
            details=f"the server announced sha256 {sha256[:16]}...", resolution="upload the bundle again",
        )  # fmt: skip
    part.rename(path)
    return FileSource(fd)


def _not_stored(error: OSError) -> EnvironmentFault:
    return EnvironmentFault("storage.write-failed", "the bundle cannot be stored", details=str(error))


def _fill(source: RemoteSource, fd: int, done: int, progress: Callable[[int, int], None]) -> None:
    os.ftruncate(fd, done)
    os.lseek(fd, done, os.SEEK_SET)
    synced = done
    for piece in source.stream(done, source.size - done):
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]
        done += len(piece)
        progress(done, source.size)
        if done - synced >= _SYNC_EVERY:
            os.fdatasync(fd)
            synced = done
    os.fsync(fd)


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _digest(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
