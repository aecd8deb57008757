"""The only place that writes state durably.

A document is replaced, never changed in place: temporary file in the same directory, fsync, rename, fsync of the
directory. After a power cut there is the old document or the new one. One daemon at a time holds the lock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
from pathlib import Path

from agent.errors import ConfigError, EnvironmentFault

MAX_DOCUMENT = 1024 * 1024
_MISCONFIGURED = (errno.EEXIST, errno.ENOTDIR, errno.EACCES, errno.EPERM)  # a full or read-only medium may pass

_log = logging.getLogger(__name__)


class Store:
    """Named JSON documents in one directory, which both slots share.

    Args:
        directory: made with mode 0700 when missing.

    Raises:
        ConfigError: ``state.directory`` when the directory cannot be used, ``state.locked`` when another daemon holds it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            _make(directory)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                "state.directory", "the state directory cannot be used", details=str(error),
                resolution="make system.state-dir a writable directory that both slots share",
                retryable=error.errno not in _MISCONFIGURED,
            ) from error  # fmt: skip
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(
                "state.locked", "another ota-agent is using the state directory", details=str(directory),
                resolution="stop the other one first: systemctl stop ota-agent", retryable=True,
            ) from error  # fmt: skip

    def close(self) -> None:
        """Releases the lock."""
        os.close(self._lock)

    def load(self, name: str) -> dict[str, object] | None:
        """Reads a document; None when there is none.

        Raises:
            EnvironmentFault: ``state.unreadable`` when it is no JSON object; it has been put aside as ``NAME.broken``.
                Also when the medium does not give it; then it stays where it is.
        """
        data = self.read(name)
        if data is None:
            return None
        try:
            values = json.loads(data) if len(data) <= MAX_DOCUMENT else None
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            self.quarantine(name)
            raise EnvironmentFault(
                "state.unreadable", f"the state document {name} cannot be read",
                details=f"it was put aside as {self._path(name).name}.broken",
            )  # fmt: skip
        return values

    def read(self, name: str) -> bytes | None:
        """The bytes of a document as they are, for who wants to judge them; at most one more than is allowed, None: no such.

        Raises:
            EnvironmentFault: ``state.unreadable`` when the medium does not give it.
        """
        try:
            with self._path(name).open("rb") as file:
                return file.read(MAX_DOCUMENT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EnvironmentFault(
                "state.unreadable", f"the state document {name} cannot be read", details=str(error),
                resolution="check the file system of system.state-dir",
            ) from error  # fmt: skip

    def save(self, name: str, values: dict[str, object]) -> None:
        """Replaces a document durably.

        Raises:
            EnvironmentFault: ``state.write-failed``; the old document is still there.
        """
        self._replace(self._path(name), json.dumps(values, indent=1, sort_keys=True).encode() + b"\n", name)

    def remove(self, name: str) -> None:
        """Removes a document durably, if there is one.

        Raises:
            EnvironmentFault: ``state.write-failed``.
        """
        try:
            self._path(name).unlink()
            self._sync_directory()
        except FileNotFoundError:
            return
        except OSError as error:
            raise EnvironmentFault(
                "state.write-failed", f"the state document {name} cannot be removed", details=str(error),
                resolution="check the file system of system.state-dir",
            ) from error  # fmt: skip

    def put_aside(self, name: str, data: bytes) -> None:
        """Keeps the bytes of a damaged document as ``NAME.broken``, durably, while the document itself stays.

        Raises:
            EnvironmentFault: ``state.write-failed``.
        """
        self._replace(self._path(name).with_suffix(".json.broken"), data, name)

    def _replace(self, path: Path, data: bytes, name: str) -> None:
        temporary = path.with_suffix(".new")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(fd, "wb", closefd=False) as file:
                    file.write(data)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, path)
            self._sync_directory()
        except OSError as error:
            raise EnvironmentFault(
                "state.write-failed", f"the state document {name} cannot be written", details=str(error),
                resolution="free space on the file system of system.state-dir, or replace the medium",
            ) from error  # fmt: skip

    def quarantine(self, name: str) -> None:
        """Puts a document aside, so that it can be looked at and is not read again; on a read-only medium it stays."""
        path = self._path(name)
        try:
            if path.exists():
                path.rename(path.with_suffix(".json.broken"))
                self._sync_directory()
        except OSError as error:
            _log.error("%s cannot be put aside: %s", path, error, extra={"OTA_ERROR_CODE": "state.write-failed"})

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _sync_directory(self) -> None:
        _sync(self.directory)


class UnlockedStore(Store):
    """The store of an agent that could not be built, for its last words, when no other agent is there.

    Args:
        directory: is not made when it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def close(self) -> None:
        """There is no lock."""


def _make(directory: Path) -> None:
    """Makes a directory durably: what is flushed into it later would be lost with its name (fsync(2), Description)."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in reversed(missing):
        _sync(each.parent)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
