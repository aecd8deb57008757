"""Is there room left for what the device must store?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from agent.health.bounded import Bounded
from agent.health.result import CheckResult, green, red


class SpaceCheck:
    """So many bytes must be free.

    Args:
        path: anywhere on the file system.
        least: bytes that must be free for programs that are not root's.
        timeout: seconds.
        stopping: whether the answer is not wanted any more.
    """

    def __init__(self, path: Path, least: int, timeout: float, stopping: Callable[[], bool] = lambda: False) -> None:
        self.name = f"space {path}"
        self._least = least
        self._timeout = timeout
        self._work = Bounded(lambda: os.statvfs(path), stopping)

    def run(self) -> CheckResult:
        """Asks the file system."""
        try:
            status = self._work.run(self._timeout)
        except OSError as error:
            return red(self.name, error.strerror or str(error))
        free = status.f_bavail * status.f_frsize
        if free < self._least:
            return red(self.name, f"{free} bytes are free, {self._least} are wanted")
        return green(self.name, f"{free} bytes are free")
