"""How fast a download may go, and when it is time to say how far it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

SMOOTH = 0.1  # seconds of the rate that are read at once; nor is more than that caught up after a pause

_EVERY = 60.0  # seconds: the daemon must not take a slow line for a process that hangs


@dataclass(slots=True)
class Pace:
    """Spreads bytes evenly over time.

    Args:
        rate: bytes per second; 0 for any number.
    """

    rate: float
    _due: float = field(default=float("-inf"))

    def portion(self, most: int) -> int:
        """Returns how many bytes may be read at once."""
        return most if not self.rate else min(most, max(1, int(self.rate * SMOOTH)))

    def wait(self, size: int, now: float) -> float:
        """Notes that ``size`` bytes were read by ``now`` (seconds); returns the seconds to wait before the next."""
        if not self.rate:
            return 0.0
        self._due = max(self._due, now - SMOOTH) + size / self.rate
        return max(0.0, self._due - now)


@dataclass(slots=True)
class Account:
    """What a transfer has cost.

    Attributes:
        bytes: of bodies that came from the network.
        retries: how often it went on after a connection had been made and broke, or an answer was no use. Attempts that
            never reached anybody are not counted.
        step: bytes from one report to the next; 0: it is never reported.
    """

    step: int = 0
    bytes: int = 0
    retries: int = 0
    _told: tuple[int, int] = (0, 0)
    _when: float = 0.0

    def due(self, now: float) -> bool:
        """Whether it is time (in seconds) to report; then notes that it is done.

        It is at the first byte, after each step and each retry, and a minute after the last time if bytes came since.
        """
        if not self.step or (self.bytes, self.retries) == self._told:
            return False
        told, retries = self._told
        if told and self.bytes - told < self.step and self.retries == retries and now - self._when < _EVERY:
            return False
        self._told, self._when = (self.bytes, self.retries), now
        return True
