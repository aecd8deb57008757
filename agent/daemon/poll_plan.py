"""When the server is asked next, and how often while an update is under way."""

from __future__ import annotations

from collections.abc import Callable
from random import random

from agent.clock import Clock
from agent.config import ServerSettings
from agent.hawkbit import schedule

_CANCEL_WATCH = 15.0  # seconds: how often at least a running update looks whether it was cancelled


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
            settings.poll_min, settings.poll_max, min(max(300.0, settings.poll_min), settings.poll_max)
        )
        self._sleep: int | None = None
        self._failures = 0
        self.next_poll = clock.boottime() + chance() * settings.poll_first_delay

    @property
    def watch_interval(self) -> float:
        """Seconds between two looks for a cancellation while an update is under way."""
        return self._limits.clamp(min(_CANCEL_WATCH, self._sleep or _CANCEL_WATCH))

    @property
    def poll_interval(self) -> float:
        """Seconds between two polls as the server wants them, within the configured bounds."""
        return self._limits.clamp(self._sleep or self._limits.default)

    def worked(self, sleep_seconds: int | None) -> None:
        """A poll was answered, and the server wants to be left alone for so long."""
        self._failures = 0
        self._sleep = sleep_seconds
        self.next_poll = self._clock.boottime() + schedule.next_poll(self._limits, sleep_seconds, self._chance())

    def failed(self, asked_to_wait: float | None) -> None:
        """A poll failed; ``asked_to_wait`` is the server's ``Retry-After`` in seconds."""
        self._failures += 1
        delay = schedule.after_failure(self._limits, self._failures, self._chance(), asked_to_wait)
        self.next_poll = self._clock.boottime() + delay

    def at_once(self) -> None:
        """There is a reason to ask again now."""
        self.next_poll = self._clock.boottime()
