"""When a download is too slow, and how often it is worth another attempt. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

BARREN_ATTEMPTS = 5  # attempts in a row that brought nothing
MEAGRE_ATTEMPTS = 20  # attempts in a row that brought less than ENOUGH
ENOUGH = 64 * 1024  # bytes; a link that manages this between two drops is worth going on with
FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 15.0
LONGEST_RETRY_AFTER = 120.0  # a server that wants more than this is left alone; the daemon comes back later


@dataclass(slots=True)
class Meter:
    """Measures the speed of the network, not counting the time in which the reader did not want anything.

    Args:
        slow_rate: bytes per second that must be reached,
        slow_time: averaged over this many seconds of waiting.
    """

    slow_rate: float
    slow_time: float
    _seconds: float = 0.0
    _bytes: int = 0

    def count(self, size: int, seconds: float) -> bool:
        """Notes that ``size`` bytes took ``seconds``; returns whether that is too slow by now."""
        self._bytes += size
        self._seconds += seconds
        if self._seconds < self.slow_time:
            return False
        slow = self._bytes < self.slow_rate * self._seconds
        self._seconds, self._bytes = 0.0, 0
        return slow


@dataclass(slots=True)
class Attempts:
    """Counts the attempts of one read. A server that drips one byte per connection does not last for ever."""

    retries: int = 0
    _barren: int = field(default=0)
    _meagre: int = field(default=0)

    def failed(self, size: int, *, slow: bool = False) -> bool:
        """Notes an attempt that ended early after ``size`` bytes; returns whether another one is worth it."""
        self._barren = 0 if size and not slow else self._barren + 1
        self._meagre = 0 if size >= ENOUGH and not slow else self._meagre + 1
        if self._barren >= BARREN_ATTEMPTS or self._meagre >= MEAGRE_ATTEMPTS:
            return False
        self.retries += 1
        return True

    def delay(self, random: float, asked: float | None = None) -> float:
        """Returns the seconds to wait before the next attempt.

        Args:
            random: from 0 to 1; exponential backoff with full jitter (nobody comes back in step).
            asked: the server's ``Retry-After``.
        """
        delay = random * min(LONGEST_DELAY, FIRST_DELAY * 2.0**self._barren)
        return delay if asked is None else max(delay, asked)
