"""Time, and what is known about it. Intervals use CLOCK_BOOTTIME, which counts suspended time and never jumps."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Protocol

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


def verification_time(wall: float, signed_at: int, built_at: int) -> int:
    """The time for which certificates are checked, in seconds since the epoch: the newest that is known to have passed.

    A clock without a battery starts in the past. It cannot be earlier than the signing of the newest bundle that was
    confirmed, nor than the build of the system that runs.

    Args:
        wall: what the clock says.
        signed_at: when the newest confirmed bundle was signed; 0: there is none.
        built_at: when the running system was built; 0: not known.
    """
    return max(int(wall), signed_at, built_at)


def built(clock_epoch: Path) -> int:
    """When the running system was built: the modification time of ``/usr/lib/clock-epoch`` (systemd(1)); 0: not told."""
    try:
        return int(clock_epoch.stat().st_mtime)
    except OSError:
        return 0


class Clock(Protocol):
    """What the daemon asks of time; tests control it."""

    def boottime(self) -> float:
        """Seconds since the boot."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, as far as the device knows."""
        ...

    def synchronised(self) -> bool:
        """Whether the wall clock may be told to others."""
        ...


class SystemClock:
    """The real one."""

    def boottime(self) -> float:
        """See Clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """See Clock."""
        return time.time()

    def synchronised(self) -> bool:
        """See Clock; asks the kernel, which the time daemon tells (adjtimex(2))."""
        timex = ctypes.create_string_buffer(512)  # struct timex is 208 bytes on 64 bit; modes = 0 only reads
        state = int(ctypes.CDLL(None).adjtimex(timex))
        return 0 <= state != _TIME_ERROR
