"""While an update is under way and can still be given up: has the server, or a person, changed their mind?"""

from __future__ import annotations

import logging

from agent.daemon.activities import holdings
from agent.daemon.context import Context
from agent.daemon.inbox import Cancelled
from agent.daemon.record import Record
from agent.errors import OtaError
from agent.hawkbit import feedback
from agent.hawkbit.model import Base
from agent.hawkbit.phases import Phase

_log = logging.getLogger(__name__)
_GIVEN_UP = "the update was given up before the switch; the running system is unchanged"
_SHORTEST = 0.01  # seconds of one wait


class Watch:
    """Looks at the inbox each time it is asked, and at the server from time to time.

    Args:
        context: the collaborators.
        record: the update that may be cancelled.
        patient: ask only as often as a device that has nothing to do, because the update waits for something.

    Attributes:
        base: what the server said last; None before the first answer.
    """

    def __init__(self, context: Context, record: Record, *, patient: bool = False) -> None:
        self._context = context
        self._record = record
        self._patient = patient
        self.base: Base | None = None
        server = context.server if record.origin == "server" else None
        self._server = server
        self._next = 0.0 if server is None else max(self._after(server.plan.watch_interval), server.plan.not_before)

    def look(self) -> None:
        """Raises Cancelled when the update must be given up."""
        if self._context.inbox.take_cancel():
            raise Cancelled(by_server=False)
        if self._server is None:
            return
        due = self._server.plan.next_poll if self._patient else self._next
        if self._context.clock.boottime() >= due:
            self.ask()

    def ask(self) -> Base | None:
        """Asks the server now; a server that cannot be reached has cancelled nothing.

        Raises:
            Cancelled: the action was cancelled, or is no longer offered (force-quit, closed elsewhere, not confirmed any
                more).
        """
        server = self._context.server
        if server is None:
            return None
        try:
            base = server.poll()
        except OtaError as error:
            self._context.audit.note("poll", error.code)
            _log.info("no answer while watching for a cancellation: %s", error)
            self._next = max(self._after(server.plan.watch_interval), server.plan.next_poll)
            return None
        self._context.audit.note("poll", "ok")
        self._next = self._after(server.plan.watch_interval)
        self.base = base
        if base.cancel is not None and base.cancel.action_id != self._record.action_id:
            answer_cancel(self._context, base.cancel.action_id)
            server.deliver()
        outcome = withdrawn(self._record, base)
        if outcome:
            _log.warning("action %s: %s", self._record.action_id, outcome)
            raise Cancelled(by_server=True, vanished=outcome == "vanished")
        return base

    def wait(self, seconds: float) -> None:
        """Waits, looking meanwhile."""
        end = self._context.clock.boottime() + seconds
        while (left := end - self._context.clock.boottime()) > 0:
            self.look()
            self._context.inbox.wait(min(left, self._left() + _SHORTEST))

    def doze(self, seconds: float | None = None) -> None:
        """Waits until the server is to be asked again, or somebody has said something; at most so many seconds."""
        left = self._left()
        self._context.inbox.wait((left if seconds is None else min(left, seconds)) + _SHORTEST)

    def _left(self) -> float:
        if self._server is None:
            server = self._context.server if self._patient else None
            return 3600.0 if server is None else max(0.0, server.plan.next_poll - self._context.clock.boottime())
        due = self._server.plan.next_poll if self._patient else self._next
        return max(0.0, due - self._context.clock.boottime())

    def _after(self, seconds: float) -> float:
        return self._context.clock.boottime() + seconds


def withdrawn(record: Record, base: Base) -> str:
    """Whether the answer to a poll means that this action is to be given up: ``cancelled``, ``vanished`` or empty.

    An action that waits for confirmation again is no longer ours to install; it is offered anew when it is confirmed.
    """
    if base.cancel is not None:
        # Another action's cancellation is offered before our deployment; only an answer without it means that ours is gone.
        return "cancelled" if base.cancel.action_id == record.action_id else ""
    ours = base.deployment is not None and base.deployment.action_id == record.action_id
    return "" if ours else "vanished"


def answer_cancel(context: Context, action_id: str, manifest_hash: str = "", *, begun: bool = False) -> None:
    """Answers the wish to cancel an action for which nothing has been switched.

    It can be given up; unless its system runs already, confirmed, because an earlier end of it was not heard. Then the
    server takes it back into the open actions, and hears once more how it ended.

    Args:
        context: the collaborators.
        action_id: of the action.
        manifest_hash: of its bundle, if that is known: the same number with another bundle is another action.
        begun: it was under way.
    """
    server = context.server
    if server is None:
        return
    held = context.knowledge.content(context.device.booted.bootname)
    same = holdings.installed_by(context.knowledge, context.device) == action_id
    if same and manifest_hash in ("", held.manifest_hash):
        text = f"version {held.version} of this action is installed, runs and was confirmed"
        server.say(feedback.cancel_rejected(action_id, text, code=Phase.TOO_LATE))
    else:
        text = _GIVEN_UP if begun else "nothing is installed for this action"
        server.say(feedback.cancel_accepted(action_id, text, code=Phase.CANCELLED))
