"""Can what must be stored still be stored? A medium at its end is mounted read-only, or fails when it is flushed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from agent.health.bounded import Bounded
from agent.health.result import CheckResult, green, red

_FILE = ".ota-agent-health"
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")  # proc_pid_mountinfo(5): blank, tab, newline and backslash in octal
_HINTS = {errno.EROFS: "is it mounted read-only, or does the agent's unit lack ReadWritePaths=?"}


class MountCheck:
    """A file system must be mounted, and a file on it be written, flushed and removed.

    Args:
        point: the mount point.
        timeout: seconds.
        stopping: whether the answer is not wanted any more.
    """

    def __init__(self, point: Path, timeout: float, stopping: Callable[[], bool] = lambda: False) -> None:
        self.name = f"mount {point}"
        self._point = point
        self._timeout = timeout
        self._work = Bounded(self._write, stopping)

    def run(self) -> CheckResult:
        """Tries it."""
        if str(self._point) not in mount_points():
            return red(self.name, "nothing is mounted there")
        try:
            self._work.run(self._timeout)
        except TimeoutError as error:
            return red(self.name, str(error))
        except OSError as error:
            hint = _HINTS.get(error.errno or 0)
            return red(self.name, f"{error.strerror}" + (f" ({hint})" if hint else ""))
        return green(self.name, "writable")

    def _write(self) -> None:
        path = self._point / _FILE
        with contextlib.suppress(FileNotFoundError):  # of a start that was killed here
            path.unlink()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b"ota-agent\n")
            os.fsync(fd)
        finally:
            os.close(fd)
            path.unlink()


def mount_points() -> set[str]:
    """Where something is mounted."""
    lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    return {_ESCAPED.sub(lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in lines}
