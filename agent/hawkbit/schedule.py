"""When to ask the server again.

Pure: the caller brings the randomness (a float from 0 up to but not including 1) and the clock. All times are seconds.
Intervals are counted on a clock that does not jump (``CLOCK_BOOTTIME``), never on the date.

Failures are answered with windows that grow: one question falls into each window, at a random moment of it. So a fleet is
spread evenly (this is what full jitter is for), and yet a device asks no more often than there are windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

JITTER = 0.1  # a tenth more or less keeps a fleet from polling in step
MAX_EXPONENT = 32


class Failure(Enum):
    """Why a poll failed, as far as it matters for the next one."""

    UNREACHABLE = "unreachable"
    TLS = "tls"
    UNAUTHORISED = "unauthorised"
    BUSY = "busy"
    SERVER_ERROR = "server error"
    UNKNOWN_TARGET = "unknown target"
    INVALID = "invalid document"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How a class of failures slows a device down.

    Args:
        first: the first window, in multiples of the least time between two polls.
        longest: the longest window in seconds, unless the ordinary interval is longer still.
    """

    first: int
    longest: float


BACKOFF: Mapping[Failure, Backoff] = {
    Failure.UNREACHABLE: Backoff(1, 1800.0),  # passes by itself, and says nothing about the server's load
    Failure.BUSY: Backoff(2, 1800.0),  # passes by itself, when everybody gives way
    Failure.LOCAL: Backoff(1, 1800.0),  # no request was made
    Failure.TLS: Backoff(2, 3600.0),  # a certificate has to be mended, or a clock
    Failure.SERVER_ERROR: Backoff(2, 3600.0),
    Failure.INVALID: Backoff(10, 7200.0),  # somebody has to mend the server
    Failure.UNKNOWN_TARGET: Backoff(10, 7200.0),  # somebody has to register the device
    Failure.UNAUTHORISED: Backoff(10, 21600.0),  # repeated, it looks like an attack
}
_STATUS = {
    401: Failure.UNAUTHORISED, 403: Failure.UNAUTHORISED, 407: Failure.UNAUTHORISED,
    404: Failure.UNKNOWN_TARGET, 410: Failure.UNKNOWN_TARGET,
    408: Failure.BUSY, 425: Failure.BUSY, 429: Failure.BUSY, 503: Failure.BUSY,
}  # fmt: skip


def classify(code: str, status: int | None = None) -> Failure:
    """The class of a failure.

    Args:
        code: of the error.
        status: the HTTP status, when there was an answer and it was the problem.
    """
    if status is not None:
        return _STATUS.get(status, Failure.SERVER_ERROR)
    if code.startswith(("net.tls-", "net.insecure", "net.client-", "net.bad-ca")):
        return Failure.TLS
    if code == "net.proxy-login":
        return Failure.UNAUTHORISED
    if code.startswith("net."):
        return Failure.UNREACHABLE
    if code == "ddi.feedback-deferred":
        return Failure.SERVER_ERROR
    return Failure.INVALID if code.startswith("ddi.") else Failure.LOCAL


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

    def interval(self, sleep_seconds: int | None) -> float:
        """The time between two polls that the server wants, in bounds."""
        return self.clamp(self.default if sleep_seconds is None else sleep_seconds)


def next_poll(limits: Limits, interval: float, random: float) -> float:
    """Returns the delay after a poll that worked: the interval, a tenth more or less."""
    return limits.clamp(interval * (1 - JITTER + 2 * JITTER * random))


def on_the_grid(limits: Limits, interval: float, now: float, phase: float, random: float, *, settled: bool) -> float:
    """Returns the delay after a poll that worked, for a device with a fixed place in the interval.

    The place is at ``phase * interval`` in each interval since the boot. So devices that booted together stay spread over
    the interval, whatever it is; and they return to their places after an outage.

    Args:
        limits: the bounds.
        interval: seconds, in the bounds.
        now: seconds since the boot.
        phase: the device's place, from 0 to 1.
        random: the injected randomness; a tenth of the interval more or less.
        settled: whether the last poll was near the device's place already. Otherwise the next one may come early, never
            late: a server takes a device that is late for one that is lost.
    """
    soonest = 0.5 if settled else JITTER
    reached = (now / interval + soonest - phase) // 1 + 1
    wanted = (reached + phase + JITTER * (2 * random - 1)) * interval - now
    if settled:
        wanted = max(wanted, (1 - JITTER) * interval)
    return limits.clamp(min(wanted, (1 + JITTER) * interval))


def window(limits: Limits, failure: Failure, failures: int, interval: float) -> float:
    """The length of the window for the next question.

    Args:
        limits: the bounds.
        failure: what happened last.
        failures: failed polls in a row, at least 1.
        interval: the ordinary one in seconds; windows grow to it, so that a return is no herd for a server that is made
            for it.
    """
    backoff = BACKOFF[failure]
    first = backoff.first * limits.minimum
    longest = max(backoff.longest, interval, first)
    grown = min(longest, first * 2.0 ** min(failures - 1, MAX_EXPONENT))
    # From any moment of a window to the end of the next one takes no longer than the maximum.
    return max(limits.minimum, min(limits.maximum / 2, grown))


def after_failure(limits: Limits, length: float, now: float, begins: float, random: float) -> tuple[float, float]:
    """Chooses a moment in the next window.

    Args:
        limits: the bounds.
        length: of the window.
        now: seconds since the boot.
        begins: when the window may begin: at the end of the last one, or when the server wants to be asked again.
        random: the injected randomness.

    Returns:
        When to ask, and when this window ends, in seconds since the boot.
    """
    begins = max(now, min(begins, now + limits.maximum - length))  # still spread when the server asks for too much
    moment = max(begins + random * length, now + limits.minimum)
    return min(moment, now + limits.maximum), begins + length


def most_polls(limits: Limits, failure: Failure, interval: float, seconds: float) -> int:
    """How many polls fail at most in an outage of ``seconds``: the first one, and one for each window that begins."""
    count, begins = 1, 0.0
    while begins < seconds:
        begins += window(limits, failure, count, interval)
        count += 1
    return count
