"""Work that has begun, and is not allowed any more: it is interrupted, and goes on when it is allowed again."""

from __future__ import annotations

from agent.consent.gates import LOOK
from agent.consent.rules import Hold, Stride
from agent.daemon.context import Context
from agent.daemon.record import Record


class Interrupted(Exception):
    """The device's policy, or its surroundings, do not allow the work under way any more."""


class Pause:
    """Looks from time to time whether the work may go on. A window that closes, and a postponement, only stop the restart.

    Args:
        context: the collaborators.
        stride: what is done.
    """

    def __init__(self, context: Context, stride: Stride) -> None:
        self._context = context
        self._stride = stride
        self._next = context.clock.boottime() + LOOK

    def look(self, record: Record) -> None:
        """Raises Interrupted when it may not; something that has changed on the device is looked at at once."""
        context = self._context
        if not context.inbox.take_look() and context.clock.boottime() < self._next:
            return
        self._next = context.clock.boottime() + LOOK
        reasons = set(context.desk.holds(record, self._stride)) - {Hold.WINDOW, Hold.POSTPONED}
        if reasons:
            raise Interrupted(", ".join(sorted(reasons)))
