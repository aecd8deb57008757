"""A bundle that somebody has handed over as an open file, so that it does not matter what the daemon can see itself.

The caller's ``/tmp`` may be another one, its home closed to us, its file readable for it alone. One descriptor is kept, until
the daemon is idle again. It does not survive the daemon: a new one goes on with the file of that path if it is still the same
one (device, inode, size, time of the last change), and otherwise the update ends and says so.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.daemon.record import Record
from agent.errors import BundleError

_O_PATH = (
    0o10000000  # asm-generic/fcntl.h; the value of Alpha, PA-RISC and SPARC is another one, and no regular flag there
)
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Given:
    """A file that was handed over; ``path`` is empty when it has none here."""

    name: str
    path: str
    size: int
    identity: str


class Handed:
    """Keeps one descriptor; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fd = -1
        self._identity = ""

    def keep(self, fd: int, name: str) -> Given:
        """Keeps a copy of a descriptor, in the place of the one before.

        Args:
            fd: stays the caller's.
            name: what the caller calls the file, for people; empty: as it is called here.

        Raises:
            BundleError: ``install.descriptor``: it is no regular file, or was not opened for reading alone.
        """
        try:
            status = os.fstat(fd)
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        except OSError as error:
            raise _refused(str(error)) from error
        if not stat.S_ISREG(status.st_mode):
            raise _refused("it is no regular file")
        if flags & _O_PATH or flags & os.O_ACCMODE != os.O_RDONLY:
            raise _refused("it was not opened for reading alone")
        copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        identity = identity_of(status)
        with self._lock:
            self._drop()
            self._fd, self._identity = copy, identity
        path = _path(copy, identity)
        return Given(_shown(name) or _shown(path) or "bundle", path, status.st_size, identity)

    def release(self) -> None:
        """Closes what is kept."""
        with self._lock:
            self._drop()

    @contextmanager
    def opened(self, record: Record) -> Iterator[int]:
        """The bundle of a record as a descriptor: the one that was handed over, else the file of the recorded path.

        Raises:
            BundleError: ``bundle.not-found``, ``install.descriptor-lost``.
        """
        fd = self._copy(record.artifact) if record.artifact else -1
        if fd < 0:
            fd = _open(record)
        try:
            yield fd
        finally:
            os.close(fd)

    def _copy(self, identity: str) -> int:
        with self._lock:
            if self._fd < 0 or identity != self._identity:
                return -1
            return int(fcntl.fcntl(self._fd, fcntl.F_DUPFD_CLOEXEC, 3))

    def _drop(self) -> None:
        fd, self._fd, self._identity = self._fd, -1, ""
        if fd >= 0:
            os.close(fd)


def identity_of(status: os.stat_result) -> str:
    """What tells a file from every other one, and from itself after a change."""
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def _open(record: Record) -> int:
    handed = bool(record.artifact)
    if handed and not record.url:
        raise _lost("it has no path here")
    try:
        fd = os.open(record.url, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if handed:
            raise _lost(str(error)) from error
        raise BundleError("bundle.not-found", "the bundle cannot be opened", details=str(error)) from error
    if handed and identity_of(os.fstat(fd)) != record.artifact:
        os.close(fd)
        raise _lost(f"{record.url} is another file by now")
    return fd


def _shown(path: str) -> str:
    """The last part of a path, as far as it can be shown to people."""
    return "".join(char for char in path.rpartition("/")[2] if char.isprintable())[:_MAX_NAME]


def _path(fd: int, identity: str) -> str:
    """The path of the file as this process sees it; empty when it leads to something else, or nowhere."""
    try:
        path = os.readlink(f"/proc/self/fd/{fd}")
        return path if path.startswith("/") and identity_of(os.stat(path)) == identity else ""
    except OSError:
        return ""


def _refused(details: str) -> BundleError:
    return BundleError(
        "install.descriptor", "this descriptor cannot be installed from", details=details,
        resolution="open a regular file with O_RDONLY and hand that over",
    )  # fmt: skip


def _lost(details: str) -> BundleError:
    return BundleError(
        "install.descriptor-lost", "the bundle that was handed over is gone since the agent was started anew",
        details=details, resolution="install it again",
    )  # fmt: skip
