"""The worker's sign of life, which is what the watchdog of systemd is fed by (``WatchdogSec=``, sd_watchdog_enabled(3)).

A process that answers D-Bus may still do nothing: its worker may hang in a system call, or wait for a child that is stuck
in the driver of a storage. So the worker always owes a sign of progress by some moment, and no food is given after that:

- Each wait for time or a person is a sign, and puts the moment off by its own length (``Inbox.wait``).
- A wait for a child is a sign only when the child has spoken. Whoever uses a child that may be silent for longer than usual
  says so (``Inbox.patient``).
- The main loop looks, twice in each period of the watchdog. When the main loop hangs, nobody looks.

Time is CLOCK_MONOTONIC, as for poll(2) and for systemd's watchdog: a suspended device owes nothing.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.config import Config

_log = logging.getLogger(__name__)
USUAL = 300.0  # seconds
_SLACK = 60.0  # seconds
_OTHER_CHECKS = 8  # that take their time: systemd, and what is in health.directory


class Heartbeat:
    """Belongs to one worker; ``alive`` may be asked from any thread.

    Args:
        silence: seconds for which the worker may be silent when nobody has said otherwise.
        clock: seconds; does not count while the device is suspended.
    """

    def __init__(self, silence: float = USUAL, clock: Callable[[], float] = time.monotonic) -> None:
        self.silence = silence
        self._clock = clock
        self._until = clock() + silence

    def beat(self) -> None:
        """Something got on."""
        self._until = self._clock() + self.silence

    def rest(self, seconds: float | None) -> None:
        """The worker will wait for so many seconds on purpose; None: until somebody says something."""
        self._until = math.inf if seconds is None else self._clock() + seconds + self.silence

    @contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """Within the block the worker may be silent for so many seconds, if that is more than before."""
        before, self.silence = self.silence, max(self.silence, seconds)
        self.beat()
        try:
            yield
        finally:
            self.silence = before
            self.beat()

    def alive(self) -> bool:
        """Whether the worker has given every sign that it owes."""
        return self._clock() <= self._until


class Feeder:
    """Called by the main loop twice in each period of the watchdog.

    Args:
        heartbeat: of the worker.
        tell: tells systemd (``agent.daemon.notify``).
    """

    def __init__(self, heartbeat: Heartbeat, tell: Callable[[str], object]) -> None:
        self._heartbeat = heartbeat
        self._tell = tell
        self._stuck = False

    def __call__(self) -> None:
        """Feeds the watchdog unless the worker is stuck; then systemd ends this process, and starts a new one."""
        if self._heartbeat.alive():
            self._stuck = False
            self._tell("WATCHDOG=1")
        elif not self._stuck:
            self._stuck = True
            _log.critical("the worker is stuck; where each thread is follows on standard error")
            faulthandler.dump_traceback()


def usual_silence(config: Config) -> float:
    """Seconds for which the worker may be silent: the longest answer of the fetcher, or one round of health checks."""
    server, health = config.server, config.health
    answer = server.connect_timeout + 2 * server.read_timeout + 30  # see agent.daemon.network.Conversation
    checks = sum(map(len, (health.commands, health.urls, health.tcp, health.dbus_names, health.mounts)))
    judged = health.deadline + (_OTHER_CHECKS + checks) * health.check_timeout
    return max(USUAL, answer + _SLACK, judged + _SLACK)
