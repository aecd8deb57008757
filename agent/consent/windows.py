"""Maintenance windows: times of the week, in a time zone, at which an update may disturb. Pure.

A window is a rule such as ``Mon-Fri 02:00-05:00``. Each of its occurrences begins at a local time and lasts for the rule's
length in real time, so that the days on which clocks are changed have a window that is as long as any other: one that would
begin in the hour that is left out begins after it, and one that begins in the hour that comes twice begins once, at first
(PEP 495, ``fold=0``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most devices have no windows
    import datetime as dt

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_RULE = re.compile(r"(?:([A-Za-z,-]+) )?([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|(24:00))")
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """One rule.

    Attributes:
        days: on which it begins, 0 for Monday.
        start: local time at which it begins, in minutes of the day.
        length: in minutes, at most a day; it may end on the day after.
    """

    days: frozenset[int]
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether a window is open, and the seconds until that changes; infinite when it never does."""

    open: bool
    change: float


def parse(text: str) -> Window:
    """Reads ``[DAYS ]HH:MM-HH:MM``; ``DAYS`` are names and ranges with commas between them, all days without them.

    An end that is not after the start is on the next day; ``24:00`` is the end of the day.

    Raises:
        ValueError: it is no such text.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError("expected DAYS HH:MM-HH:MM")
    days, hour, minute, end_hour, end_minute, midnight = match.groups()
    start = int(hour) * 60 + int(minute)
    end = _DAY if midnight else int(end_hour) * 60 + int(end_minute)
    if start == end:
        raise ValueError("begins when it ends; a whole day is 00:00-24:00")
    return Window(_days(days), start, (end - start) % _DAY or _DAY)


def _days(text: str | None) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        found |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(found)


def opening(windows: Sequence[Window], zone: dt.tzinfo, now: float) -> Opening:
    """Whether one of some windows is open.

    Args:
        windows: without any, it is always open.
        zone: that they are in.
        now: seconds since 1970.
    """
    if not windows:
        return Opening(True, float("inf"))
    spans = sorted(span for window in windows for span in _spans(window, zone, now))
    end = now
    for begin, finish in spans:
        if begin <= end:  # those that overlap or touch are one
            end = max(end, finish)
    if end > now:
        return Opening(True, end - now)
    return Opening(False, min(begin for begin, _ in spans if begin > now) - now)


def _spans(window: Window, zone: dt.tzinfo, now: float) -> Iterator[tuple[float, float]]:
    """Its occurrences around a moment, from two days before to the same weekday of the next week, in seconds since 1970."""
    import datetime as dt

    today = dt.datetime.fromtimestamp(now, zone).date()
    time = dt.time(*divmod(window.start, 60))
    for offset in range(-2, 10):
        day = today + dt.timedelta(days=offset)
        if day.weekday() in window.days:
            begin = dt.datetime.combine(day, time, tzinfo=zone).timestamp()
            yield begin, begin + window.length * 60


SETTLE = 600.0  # seconds after a boot for which a clock that is not synchronised may become so
PATIENCE = 86400.0  # seconds for which an update waits for a date that can be meant


def clock_serves(*, trusted: bool, plausible: bool, uptime: float, age: float) -> bool | None:
    """Whether windows can be judged by the clock: yes, not yet (False), or not at all, so that they do not count (None).

    Args:
        trusted: the clock is synchronised.
        plausible: it shows a date that is possible.
        uptime: seconds since the boot.
        age: seconds since the update was first seen.
    """
    if trusted:
        return True
    if uptime < SETTLE:
        return False
    if plausible:
        return True
    return False if age < PATIENCE else None
