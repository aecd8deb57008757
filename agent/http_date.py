"""Dates in HTTP headers (RFC 9110, section 5.6.7), without the library for mail, which an idle daemon has no use for."""

from __future__ import annotations

import re

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# IMF-fixdate, the only form that may be sent since 1999. The two obsolete forms are not read.
_FORM = re.compile(r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")


def seconds_since_epoch(text: str) -> int | None:
    """Reads a date like ``Sun, 06 Nov 1994 08:49:37 GMT``; None when it is no such date, or before 1970."""
    match = _FORM.fullmatch(text.strip())
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    if not (year >= 1970 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    days = _days(year, _MONTHS.index(match[2]) + 1) + day - 1
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def retry_after(value: str, date: str = "") -> float | None:
    """Reads a ``Retry-After`` header (RFC 9110, section 10.2.3).

    Args:
        value: the header; delta seconds or a date.
        date: the ``Date`` header of the same answer; the server's own clock, the only one a date can be compared with.

    Returns:
        Seconds, at least 0; None when it says nothing usable.
    """
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return float(value)
    then, now = seconds_since_epoch(value), seconds_since_epoch(date)
    return None if then is None or now is None else max(0.0, float(then - now))


def _days(year: int, month: int) -> int:
    """Days from 1970-01-01 to the first of a month; the year is taken to begin in March, so that it ends with the leap day."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    return year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 + 2) // 5 - 719468
