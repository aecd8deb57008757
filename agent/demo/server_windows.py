"""Maintenance windows: a schedule in quartz's cron notation, how long each window is, and where its clock stands.

Of the notation (six or seven fields: second, minute, hour, day of month, month, day of week, year) this double knows
``*``, ``?``, numbers, names of months and days, lists, ranges and steps. What else quartz knows (``L``, ``W``, ``#``) is
refused, not ignored.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = dict(zip(_NAMES, range(1, 13), strict=True))
_DAYS = dict(zip(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), range(1, 8), strict=True))  # as quartz counts
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _DAYS),
    ("year", 1970, 2099, {}),
)
_DAY = datetime.timedelta(days=1)
_HORIZON = 366 * 5  # days to look ahead; 29 February is the rarest date that can be asked for


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the windows of an action are open. Make one with ``parse_schedule``.

    Args:
        cron: as it was given.
        duration: of one window, ``HH:MM:SS`` as it was given.
        timezone: ``+HH:MM`` as it was given.
        fields: the permitted values of each of the seven fields.
        seconds: how long one window is.
        offset: of the time zone from UTC, in seconds.
    """

    cron: str
    duration: str
    timezone: str
    fields: tuple[frozenset[int], ...]
    seconds: int
    offset: int

    def next_start(self, now_ms: int) -> int | None:
        """The beginning of the window that is open at ``now_ms``, else of the next one; None when there is none any more."""
        zone = datetime.timezone(datetime.timedelta(seconds=self.offset))
        after = datetime.datetime.fromtimestamp(now_ms / 1000 - self.seconds, zone)
        moment = after.replace(microsecond=0) + datetime.timedelta(seconds=1)
        second, minute, hour = (sorted(values) for values in self.fields[:3])
        day = moment.date()
        for _ in range(_HORIZON):
            if self._is_day(day):
                first = moment.time() if day == moment.date() else datetime.time()
                for h in (h for h in hour if h >= first.hour):
                    for m in (m for m in minute if (h, m) >= (first.hour, first.minute)):
                        for s in (s for s in second if (h, m, s) >= (first.hour, first.minute, first.second)):
                            start = datetime.datetime.combine(day, datetime.time(h, m, s), zone)
                            return int(start.timestamp() * 1000)
            day += _DAY
        return None

    def is_open(self, now_ms: int) -> bool:
        """Whether a window is open."""
        start = self.next_start(now_ms)
        return start is not None and start < now_ms < start + self.seconds * 1000

    def is_over(self, now_ms: int) -> bool:
        """No window is open, and none will be."""
        return self.next_start(now_ms) is None

    def _is_day(self, day: datetime.date) -> bool:
        days, months, weekdays, years = self.fields[3:]
        return day.day in days and day.month in months and day.isoweekday() % 7 + 1 in weekdays and day.year in years


def parse_schedule(cron: str, duration: str, timezone: str, now_ms: int) -> Schedule:
    """Reads what an operator gave.

    Raises:
        ValueError: it cannot be understood, or no window will come.
    """
    parts = cron.split()
    if len(parts) not in (6, 7):
        raise ValueError("a schedule has six or seven fields")
    if [part for part in parts if "?" in part] != ["?"] or "?" not in (parts[3], parts[5]):
        raise ValueError("one of the two days, and nothing else, must be left open with ?")
    fields = tuple(_values(part, *row) for part, row in zip([*parts, "*"][:7], _FIELDS, strict=True))
    clock = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", duration.strip())
    if clock is None:
        raise ValueError("the duration must be HH:MM:SS")
    seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3] or 0)
    zone = re.fullmatch(r"Z|([+-])(\d\d):(\d\d)", timezone)
    if zone is None:
        raise ValueError("the time zone must be an offset like +02:00")
    offset = 0 if zone[1] is None else int(f"{zone[1]}1") * (int(zone[2]) * 3600 + int(zone[3]) * 60)
    if abs(offset) > 18 * 3600:
        raise ValueError("the time zone is too far from UTC")
    schedule = Schedule(cron, duration, timezone, fields, seconds, offset)
    if schedule.is_over(now_ms):
        raise ValueError("no window is available after the current time")
    return schedule


def _values(text: str, name: str, least: int, most: int, names: Mapping[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for item in text.upper().split(","):
        span, _, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            low, high = least, most
        elif dash:
            low, high = _number(first, name, names), _number(last, name, names)
        else:
            low = _number(first, name, names)
            high = most if step else low
        every = _number(step, name, {}) if "/" in item else 1
        if not least <= low <= high <= most or every < 1:
            raise ValueError(f"the {name} is out of range: {text}")
        found.update(range(low, high + 1, every))
    return frozenset(found)


def _number(text: str, name: str, names: Mapping[str, int]) -> int:
    if text in names:
        return names[text]
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"the {name} cannot be understood: {text}")
    return int(text)
