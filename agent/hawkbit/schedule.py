"""When to ask the server again.

Pure: the caller brings the randomness (a float from 0 up to but not including 1) and the clock. All times are seconds.
Intervals are counted on a clock that does not jump (``CLOCK_BOOTTIME``), never on the date.
"""

from __future__ import annotations

from dataclasses import dataclass

JITTER = 0.1  # a tenth more or less keeps a fleet from polling in step
FIRST_WITHIN = 60.0
MAX_EXPONENT = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for the time between two polls.

    Args:
        minimum: the server cannot make us poll more often.
        maximum: the server cannot put us to sleep for longer.
        default: used while the server has not said anything usable.

    Raises:
        ValueError: unless 0 < minimum <= default <= maximum.
    """

    minimum: float = 10.0
    maximum: float = 86400.0
    default: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.minimum <= self.default <= self.maximum:
            raise ValueError("poll limits must satisfy 0 < minimum <= default <= maximum")

    def clamp(self, seconds: float) -> float:
        """Returns ``seconds`` moved into the bounds."""
        return min(max(seconds, self.minimum), self.maximum)


def next_poll(limits: Limits, sleep_seconds: int | None, random: float) -> float:
    """Returns the delay after a poll that worked: what the server asked for, in bounds, a tenth more or less."""
    wanted = limits.clamp(limits.default if sleep_seconds is None else sleep_seconds)
    return limits.clamp(wanted * (1 - JITTER + 2 * JITTER * random))


def first_poll(limits: Limits, random: float) -> float:
    """Returns the delay after a start: anything up to a minute, so that a power cut does not synchronise a fleet."""
    return random * min(FIRST_WITHIN, limits.default)


def after_failure(limits: Limits, failures: int, random: float, retry_after: float | None = None) -> float:
    """Returns the delay after a poll that failed: exponential with full jitter, never before ``Retry-After``.

    Args:
        limits: ``minimum`` is the first step, ``maximum`` the cap.
        failures: failed polls in a row, at least 1.
        random: the injected randomness.
        retry_after: seconds that the server asked for, see ``retry_after``.
    """
    ceiling = min(limits.maximum, limits.minimum * 2.0 ** min(max(failures, 1), MAX_EXPONENT))
    delay = limits.minimum + random * max(0.0, ceiling - limits.minimum)
    if retry_after is not None:
        # everyone was told the same moment, so spread behind it
        delay = max(delay, retry_after * (1 + JITTER * random))
    return min(delay, limits.maximum)


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
    if not value or not date:
        return None
    from email.utils import parsedate_to_datetime  # almost a MiB that an idle daemon has no use for

    try:
        return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
