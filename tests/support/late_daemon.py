"""The real daemon on a device whose clock has no battery: ``late_daemon.py YEARS --config FILE`` is that much behind."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent import journal
from agent.clock import SystemClock
from agent.config import load
from agent.daemon.main import Daemon

_YEAR = 365 * 86400.0  # seconds


class LateClock(SystemClock):
    """Behind, and not synchronised."""

    def __init__(self, years: float) -> None:
        self._behind = years * _YEAR

    def wall(self) -> float:
        return super().wall() - self._behind

    def synchronised(self) -> bool:
        return False


if __name__ == "__main__":
    journal.setup()
    sys.exit(Daemon(load([Path(sys.argv[3])]), clock=LateClock(float(sys.argv[1]))).run())
