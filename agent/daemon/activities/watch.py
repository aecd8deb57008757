"""While an update is under way and can still be given up: has the server, or a person, changed their mind?"""

from __future__ import annotations

import logging

from agent.daemon.context import Context
from agent.daemon.inbox import Cancelled
from agent.daemon.record import Record
from agent.errors import OtaError
from agent.hawkbit.model import Base

_log = logging.getLogger(__name__)


class Watch:
    """Looks at the inbox each time it is asked, and at the server from time to time.

    Args:
        context: the collaborators.
        record: the update that may be cancelled.
        interval: seconds between two looks at the server; without it, as often as an update under way deserves.
    """

    def __init__(self, context: Context, record: Record, interval: float | None = None) -> None:
        self._context = context
        self._record = record
        self._interval = interval
        self._next = context.clock.boottime() + self.interval

    @property
    def interval(self) -> float:
        """Seconds between two looks at the server."""
        if self._interval is not None:
            return self._interval
        server = self._context.server
        return server.plan.watch_interval if server is not None else 3600.0

    def look(self) -> None:
        """Raises Cancelled when the update must be given up."""
        if self._context.inbox.take_cancel():
            raise Cancelled(by_server=False)
        if self._record.origin == "server" and self._context.clock.boottime() >= self._next:
            self._next = self._context.clock.boottime() + self.interval
            self.ask()

    def ask(self) -> Base | None:
        """Asks the server now; a server that cannot be reached has cancelled nothing.

        Raises:
            Cancelled: the action was cancelled, or is no longer offered (force-quit, closed elsewhere).
        """
        if self._context.server is None:
            return None
        try:
            base = self._context.server.poll()
        except OtaError as error:
            _log.info("no answer while watching for a cancellation: %s", error)
            return None
        if withdrawn(self._record, base):
            _log.warning("the server has taken action %s back", self._record.action_id)
            raise Cancelled(by_server=True)
        return base

    def wait(self, seconds: float) -> None:
        """Waits, looking meanwhile."""
        end = self._context.clock.boottime() + seconds
        while (left := end - self._context.clock.boottime()) > 0:
            self.look()
            self._context.inbox.wait(min(left, max(0.0, self._next - self._context.clock.boottime()) + 0.01))


def withdrawn(record: Record, base: Base) -> bool:
    """Whether the answer to a poll means that this action is to be given up."""
    if base.cancel is not None and base.cancel.action_id == record.action_id:
        return True
    offers = [link for link in (base.deployment, base.confirmation, base.cancel) if link is not None]
    if any(link.action_id == record.action_id for link in offers):
        return False
    # Another action's cancellation is offered before our deployment; only an answer without it means that ours is gone.
    return base.cancel is None
