"""A cancellation that comes too late: it is refused with the reason, once, and the end of the update goes before it."""

from __future__ import annotations

import logging

from agent.daemon.context import Context
from agent.daemon.record import Record
from agent.errors import OtaError
from agent.hawkbit import feedback
from agent.hawkbit.phases import Phase

_log = logging.getLogger(__name__)


class Late:
    """Looks for a cancellation from the switch on.

    Args:
        context: the collaborators.
        record: of the update, which can only be ended by the trial from here on.
    """

    def __init__(self, context: Context, record: Record) -> None:
        self._context = context
        self._record = record
        self._answered = False

    def pause(self, seconds: float) -> None:
        """Lets time pass between two rounds of health checks, one of which may have heard from the server."""
        self._context.inbox.pause(seconds)
        self._answer()

    def wait(self) -> None:
        """Waits for a reset that a person makes, and polls meanwhile: the server is not to lose sight of the device."""
        context, server = self._context, self._context.server
        if server is None:
            context.inbox.wait(None)
            return
        context.inbox.wait(max(0.0, server.plan.next_poll - context.clock.boottime()))
        if not context.inbox.take_check() and context.clock.boottime() < server.plan.next_poll:
            return
        try:
            server.poll()
        except OtaError as error:
            _log.info("the server was not reached: %s", error)
        self._answer()

    def _answer(self) -> None:
        """The server has hawkBit's rule on its side: a deployment that is closed wins over a cancellation."""
        server, record = self._context.server, self._record
        if server is None or record.origin != "server" or server.heard is None:
            return
        cancel = server.heard.cancel
        if cancel is None or cancel.action_id != record.action_id:
            self._answered = False
        elif not self._answered:
            self._answered = True
            text = f"too late: version {record.version} was chosen for the next boot, and its trial decides"
            if record.outcome == "failure":
                text = f"too late: version {record.version} has failed, and the device goes back to the version before"
            server.say(feedback.cancel_rejected(record.action_id, text, code=Phase.TOO_LATE))
            server.deliver()
