"""When the server is asked next, how often while an update is under way, and how often on demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random, random

from agent.clock import Clock
from agent.config import ServerSettings
from agent.daemon.network import ServerRefusal
from agent.errors import OtaError
from agent.hawkbit import schedule
from agent.http_date import retry_after

_WATCH = 15.0  # seconds: how often a running update looks whether it was cancelled, and up to twice that
_INTERVAL = 300.0  # seconds: hawkBit's own default, until the server has said what it wants
_SAME = 0.5  # a server may vary what it asks for by some percent each time; that is the same interval


class PollPlan:
    """Remembers how the last polls went; the arithmetic is in ``agent.hawkbit.schedule``.

    Args:
        settings: the configured bounds.
        clock: one that does not jump.
        chance: random numbers from 0 to 1; they spread load and keep no secret.
    """

    def __init__(self, settings: ServerSettings, clock: Clock, chance: Callable[[], float] = random) -> None:
        self._clock = clock
        self._chance = chance
        self._limits = schedule.Limits(
            settings.poll_min, settings.poll_max, min(max(_INTERVAL, settings.poll_min), settings.poll_max)
        )
        self._interval = self._limits.default
        self._settled = False
        self._failures = 0
        self._window_end = 0.0
        first = chance() * settings.poll_first_delay
        self._place: float | None = None
        if settings.poll_splay:
            width = self._limits.default if settings.poll_splay is True else float(settings.poll_splay)
            width = max(width, settings.poll_first_delay)
            # By the name alone it is the same in each boot, without any pattern between devices: the text is hashed
            # (random.seed, version 2). The random delay moves it a little.
            self._place = (Random(settings.controller_id).random() + first / width) % 1.0  # noqa: S311 - no secret
            first = self._place * width
        self.next_poll = clock.boottime() + min(first, settings.poll_max)

    @property
    def watch_interval(self) -> float:
        """Seconds between two looks for a cancellation while an update is under way; another each time."""
        least = self._limits.clamp(min(_WATCH, self._interval))
        return least + self._chance() * max(0.0, min(2 * least, 2 * _WATCH, self._interval) - least)

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls as the server wants them, within the configured bounds; another each time."""
        return schedule.next_poll(self._limits, self._interval, self._chance())

    @property
    def not_before(self) -> float:
        """Before this time (seconds since the boot) even an update under way leaves the server alone: it has just failed."""
        return self.next_poll if self._failures else 0.0

    def worked(self, sleep_seconds: int | None) -> None:
        """A poll was answered, and the server wants to be left alone for so long."""
        interval = self._limits.interval(sleep_seconds)
        same = abs(interval - self._interval) <= _SAME * interval
        self._settled = self._settled and same
        self._interval = interval
        self._failures, self._window_end = 0, 0.0
        now = self._clock.boottime()
        if self._place is None:
            delay = schedule.next_poll(self._limits, interval, self._chance())
        else:
            delay = schedule.on_the_grid(
                self._limits, interval, now, self._place, self._chance(), settled=self._settled
            )
        self._settled = True
        self.next_poll = now + delay

    def failed(self, error: OtaError) -> None:
        """A poll failed. One that was not planned, while others fail too, does not change the plan."""
        now = self._clock.boottime()
        refusal = error.response if isinstance(error, ServerRefusal) else None
        asked = None
        if refusal is not None:
            asked = retry_after(refusal.headers.get("retry-after", ""), refusal.headers.get("date", ""))
        earliest = now + (asked or 0.0)
        if self._failures and now < self.next_poll and earliest <= self.next_poll:
            return
        self._failures += 1
        failure = schedule.classify(error.code, refusal.status if refusal is not None else None)
        length = schedule.window(self._limits, failure, self._failures, self._interval)
        if asked is not None:  # everybody was told the same moment, so a fleet needs as much room behind it as usual
            length = max(length, min(self._interval, self._limits.maximum / 2))
        begins = max(self._window_end, earliest)
        self.next_poll, self._window_end = schedule.after_failure(self._limits, length, now, begins, self._chance())

    def remember(self) -> dict[str, float]:
        """What another process of this boot must know to go on; all times in seconds since the boot."""
        return {
            "next": self.next_poll, "interval": self._interval, "settled": float(self._settled),
            "failures": float(self._failures), "window": self._window_end,
        }  # fmt: skip

    def recall(self, kept: Mapping[str, object]) -> None:
        """Goes on where another process of this boot has left off; what does not make sense is left alone."""
        values = {name: kept.get(name) for name in self.remember()}
        if not all(isinstance(value, int | float) and 0 <= value < math.inf for value in values.values()):
            return
        numbers = {name: float(str(value)) for name, value in values.items()}
        latest = self._clock.boottime() + max(self._limits.maximum, self._limits.default) * 2
        self.next_poll = min(numbers["next"], latest)
        self._interval = self._limits.clamp(numbers["interval"])
        self._settled = numbers["settled"] > 0
        self._failures, self._window_end = int(numbers["failures"]), min(numbers["window"], latest)

    def at_once(self) -> None:
        """There is a reason to ask again now."""
        self.next_poll = self._clock.boottime()


class CheckLimit:
    """How often people may have the server asked.

    Args:
        interval: least seconds between two checks on demand; 0: no limit.
        clock: one that does not jump.
    """

    def __init__(self, interval: float, clock: Clock) -> None:
        self._interval = interval
        self._clock = clock
        self._next = 0.0

    def take(self) -> float:
        """Returns 0 when a check is allowed now, and counts it; else the seconds until one is."""
        now = self._clock.boottime()
        if now < self._next:
            return self._next - now
        self._next = now + self._interval
        return 0.0
