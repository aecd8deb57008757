"""The file that says that an update is on trial, for bootloaders that have no place for it.

One line, ``STATE TRIAL``. The file is replaced, never changed in place: after a power cut there is the old line or the new
one. ``systemd/ota-agent-leave-trial`` reads it, too.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bootloader_env.errors import BootEnvError, io_failed
from bootloader_env.order import MAX_TRIAL

PREPARED = "prepared"  # written before the bootloader is told
ACTIVE = "active"  # the bootloader was told
_LINE = re.compile(rf"({PREPARED}|{ACTIVE}) ([\x20-\x7e]{{1,{MAX_TRIAL}}})\n")


@dataclass(frozen=True, slots=True)
class Marker:
    """What the file says; ``state`` is ``PREPARED`` or ``ACTIVE``."""

    state: str
    trial: str


class MarkerFile:
    """The file.

    Args:
        path: on a file system that both slots share.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> Marker | None:
        """Returns the marker; None when there is none.

        Raises:
            BootEnvError: ``bootenv.io``, ``bootenv.marker-invalid``.
        """
        try:
            with self._path.open("rb") as file:
                text = file.read(2 * MAX_TRIAL).decode("latin-1")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise io_failed("the marker of the trial cannot be read", error) from error
        match = _LINE.fullmatch(text)
        if match is None:
            raise BootEnvError(
                "bootenv.marker-invalid",
                "the marker of the trial makes no sense",
                details=f"{self._path} holds {text[:60]!r}",
                resolution="when no update is on trial, remove the file; else restart the device",
            )
        return Marker(match[1], match[2])

    def write(self, state: str, trial: str) -> None:
        """Replaces the marker durably; raises BootEnvError ``bootenv.io``."""
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                line = f"{state} {trial}\n".encode("ascii")
                if os.write(fd, line) != len(line):
                    raise OSError(f"{temporary} took only a part of the line")
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, self._path)
            self._sync()
        except OSError as error:
            raise io_failed("the marker of the trial cannot be written", error) from error

    def remove(self) -> None:
        """Removes the marker durably, if there is one; raises BootEnvError ``bootenv.io``."""
        try:
            if os.path.lexists(self._path):
                os.unlink(self._path)
                self._sync()
        except OSError as error:
            raise io_failed("the marker of the trial cannot be removed", error) from error

    def _sync(self) -> None:
        fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
