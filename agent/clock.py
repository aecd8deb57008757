"""Time, and what is known about it. Intervals use CLOCK_BOOTTIME, which counts suspended time and never jumps."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Protocol

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
# A date outside of these years is wrong, whoever vouches for it; clocks that overflow show 1970 or 2106.
_EARLIEST, _LATEST = 1_672_531_200, 4_102_444_800  # 2023 and 2100
# CLOCK_BOOTTIME is slewed with the date, so that only a step changes their difference (clock_gettime(2)).
_STEP_MS = 5000


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


def moment(clock: Clock) -> int | None:
    """Now in milliseconds since 1970, if that may be told to a server; None when the date is not to be trusted."""
    wall = clock.wall()
    return int(wall * 1000) if clock.synchronised() and plausible(wall) else None


def plausible(wall: float) -> bool:
    """Whether it can be that date, in seconds since 1970: a clock without a battery starts long ago."""
    return _EARLIEST <= wall < _LATEST


def offset_ms(clock: Clock) -> int:
    """The date minus the time since the boot: changes when the clock is set, and with each boot."""
    return int((clock.wall() - clock.boottime()) * 1000)


def same_clock(then_ms: int, now_ms: int) -> bool:
    """Whether the clock was not set between two moments whose offsets these are; after another boot that is not known."""
    return abs(now_ms - then_ms) <= _STEP_MS


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
