"""Time, and what is known about it. Intervals use CLOCK_BOOTTIME, which counts suspended time and never jumps."""

from __future__ import annotations

import ctypes
import time
from typing import Protocol

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


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
