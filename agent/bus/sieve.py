"""Keeps a flood of calls away from the main loop.

GDBus reads messages as fast as they come and queues what the main loop has yet to answer, without a limit; the bus limits only
calls that wait for an answer (dbus-daemon(1), max_replies_per_connection). A local user could fill the memory and keep
everybody else waiting. So the thread that reads messages counts what waits. When it is much, whoever has sent more than a few
of them is turned away until it has been quiet for a while, and when it is far too much, everybody. A sender that is turned away
costs the main loop nothing, so that the reading thread gets through its calls quickly to those of others behind them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from gi.repository import Gio, GLib

log = logging.getLogger("agent.dbus")

CROWD = 256  # waiting calls from which on senders are told apart
SHARE = 16  # calls of one sender that wait in a crowd
ROOM = 1024  # waiting calls from which on nobody is let in; the main loop needs half a second for them
_STEP = 32  # calls after which the main loop is asked whether it has come so far
QUIET = 1.0  # seconds without a call, after which a sender that was turned away is heard again
_INTERVAL = 60.0  # seconds between two warnings
_ERROR = "org.freedesktop.DBus.Error.LimitsExceeded"


class Sieve:
    """Counts the calls that wait, and decides which are let through; ``lets`` belongs to one thread, the rest is safe.

    Args:
        behind: has a function called in the main loop, after everything that waits for it now.
        clock: seconds.
    """

    def __init__(
        self, behind: Callable[[Callable[[], bool]], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._behind = behind
        self._clock = clock
        self._away: dict[str, float] = {}
        self._lock = threading.Lock()
        self._senders: Counter[str] = Counter()
        self._step: Counter[str] = Counter()
        self._waiting = 0
        self.refused = 0

    def lets(self, sender: str) -> bool:
        """Whether a call of this sender is let through."""
        with self._lock:
            crowded = self._waiting >= CROWD and self._senders[sender] >= SHARE
            if crowded or self._is_away(sender):
                if len(self._away) >= CROWD and sender not in self._away:
                    self._forget(self._clock())
                self._away[sender] = self._clock() + QUIET
                self.refused += 1
                return False
            if self._waiting >= ROOM:
                self.refused += 1
                return False
            self._waiting += 1
            self._senders[sender] += 1
            self._step[sender] += 1
            if self._step.total() < _STEP:
                return True
            passed, self._step = self._step, Counter()
        self._behind(lambda: self._answered(passed))
        return True

    def _is_away(self, sender: str) -> bool:
        until = self._away.get(sender)
        if until is None:
            return False
        now = self._clock()
        if until > now:
            return True
        self._forget(now)
        return False

    def _forget(self, now: float) -> None:
        """Those who have been quiet long enough, or have left the bus."""
        self._away = {name: end for name, end in self._away.items() if end > now}

    def _answered(self, passed: Counter[str]) -> bool:
        with self._lock:
            self._waiting -= passed.total()
            self._senders -= passed  # keeps positive counts only
        return False


class Filter:
    """A ``Sieve`` in front of a connection.

    Args:
        connection: a ``Gio.DBusConnection``.
    """

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - Gio has no types
        self._sieve = Sieve(lambda call: GLib.idle_add(call, priority=GLib.PRIORITY_DEFAULT))
        self._told_at = float("-inf")
        connection.add_filter(self._message)

    def _message(self, connection: Any, message: Any, incoming: bool) -> Any:  # noqa: ANN401 - Gio has no types
        """Runs in GDBus's own thread, for each message; None takes it away."""
        if not incoming or message.get_message_type() != Gio.DBusMessageType.METHOD_CALL:
            return message
        sender = message.get_sender() or ""
        if self._sieve.lets(sender):
            return message
        if time.monotonic() >= self._told_at + _INTERVAL:
            self._told_at = time.monotonic()
            log.warning(
                "%s calls faster than it can be answered; %d calls were refused so far", sender, self._sieve.refused
            )
        if not message.get_flags() & Gio.DBusMessageFlags.NO_REPLY_EXPECTED:
            refusal = Gio.DBusMessage.new_method_error_literal(message, _ERROR, "too many calls are waiting")
            connection.send_message(refusal, Gio.DBusSendMessageFlags.NONE)
        return None
