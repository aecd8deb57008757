"""IDLE: mark a healthy boot good, then wait for the next poll, a request, or the end."""

from __future__ import annotations

import logging
from pathlib import Path

from agent.daemon.activities import holdings
from agent.daemon.activities.confirmation import Confirmations
from agent.daemon.activities.mark import mark
from agent.daemon.activities.scrub import scrub
from agent.daemon.activities.settle import Settle
from agent.daemon.activities.watch import answer_cancel
from agent.daemon.context import Context
from agent.daemon.handed import Given
from agent.daemon.machine import Event
from agent.daemon.record import Record
from agent.daemon.runner import Step
from agent.daemon.terms import Terms
from agent.errors import OtaError
from agent.hawkbit.model import Base

_log = logging.getLogger(__name__)
_BRAKE = 60.0  # seconds, doubled each time that the same action has ended
_LONGEST_BRAKE = 86400.0


def _asked_for(path: str, terms: Terms) -> Record:
    """Whoever hands over a file has agreed to it, and wants it now."""
    return Record(
        origin="local", url=path, name=Path(path).name, consent="now",
        demanded=terms.manifest_hash, transaction=terms.transaction,
    )  # fmt: skip


class Idle:
    """The activity of IDLE.

    Args:
        context: the collaborators.
        settle: marks this boot good.
    """

    def __init__(self, context: Context, settle: Settle) -> None:
        self._context = context
        self._settle = settle
        self._answered = ""
        self._confirmations = Confirmations(context)

    def __call__(self, record: Record) -> Step:
        """Returns when there is something to do."""
        context = self._context
        context.inbox.take_cancel()  # there is nothing to cancel
        self._busy()
        self._confirmations.show()
        entered = True
        while True:
            self._settle()
            holdings.note_use(context)
            if (begun := self._asked() or self._plugged_in(entered=entered)) is not None:
                return Step(Event.OFFERED, begun)
            entered = False
            server = context.server
            asked = context.inbox.take_check()
            if server is not None and (asked or context.clock.boottime() >= server.plan.next_poll):
                offer = self._poll()
                # A person was told that it begins; the server offers the same again.
                if offer is not None and not context.inbox.install_asked():
                    return Step(Event.OFFERED, offer)
                server.dismiss()
            if context.inbox.asked():
                continue  # it came while the server was being asked; the bell for it has been heard there
            self._wait()

    def _asked(self) -> Record | None:
        """Does what people have asked for, and returns the update that begins by that."""
        context = self._context
        if (wanted := context.inbox.take_install()) is not None:
            return _asked_for(*wanted)
        if (given := context.inbox.take_given()) is not None:
            return handed_over(given)
        if unread := context.inbox.take_scrub():
            scrub(context, *unread)
            self._busy()
        if wish := context.inbox.take_mark():
            mark(context, wish)
        consent = context.inbox.take_consent()
        if consent is None:
            return None
        if context.media is not None and context.media.asks(consent):
            return context.media.said(context, consent)
        self._confirmations.said(consent)
        return None

    def _plugged_in(self, *, entered: bool) -> Record | None:
        """The update that a medium brings."""
        context = self._context
        if context.media is None or context.inbox.install_asked():
            return None
        return context.media.look(context, entered=entered)

    def _busy(self) -> None:
        if self._context.leaving is not None:
            self._context.leaving.busy()

    def _wait(self) -> None:
        context = self._context
        left: float | None = None
        if context.server is not None:
            left = context.server.plan.next_poll - context.clock.boottime()
            context.tell({"NextCheck": int(context.clock.wall() + left)})
        if context.leaving is not None:
            if context.leaving.attempt(left, healthy=self._settle.marked):
                context.inbox.stop()
            left = context.leaving.rest(left)
        if context.media is None:
            context.inbox.wait(left)
        else:
            context.inbox.listen(left, context.media)

    def _poll(self) -> Record | None:
        context, server = self._context, self._context.server
        if server is None:
            return None
        try:
            base = server.poll(keep=True)
        except OtaError as error:
            _log.warning("the server was not reached: %s", error, extra={"OTA_ERROR_CODE": error.code})
            problem = (error.code, error.brief, error.resolution)
            context.audit.note("poll", error.code)
            context.tell({"ServerState": error.code, "LastCheck": int(context.clock.wall()), "LastError": problem})
            return None
        finally:
            self._busy()
        context.audit.note("poll", "ok")
        now = int(context.clock.wall())
        context.tell({"ServerState": "ok", "LastCheck": now, "LastContact": now})
        if (lost := server.problem) is not None:
            context.tell({"LastError": (lost.code, lost.brief, lost.resolution)})
        return self._offer(base)

    def _offer(self, base: Base) -> Record | None:
        server = self._context.server
        self._confirmations.offered(base.confirmation if base.cancel is None else None)
        if base.cancel is not None and server is not None:
            answer_cancel(self._context, base.cancel.action_id)
            server.deliver()
            if base.cancel.action_id != self._answered:  # there may be another action behind it
                self._answered = base.cancel.action_id
                server.plan.at_once()
            return None
        link = base.deployment
        if link is None or self._too_soon(link.action_id):
            return None
        return Record(origin="server", action_id=link.action_id, href=link.href)

    def _too_soon(self, action_id: str) -> bool:
        """Whether this action ended here more than once, and not long ago.

        Some servers use their ids again, so that a known id may be a new action. A server that does not understand how
        it ended offers the same action for ever, which would wear out the storage.
        """
        ending, clock = self._context.knowledge.ending(), self._context.clock
        if action_id != ending.action_id or not ending.repeats:
            return False
        passed = clock.wall() - ending.finished
        if passed < 0:  # the clock was set back, or starts anew with each boot
            passed = clock.boottime()
        soon = passed < min(_LONGEST_BRAKE, _BRAKE * float(1 << min(ending.repeats, 16)))
        if soon:
            _log.warning("action %s is offered again although it has ended %d times", action_id, ending.repeats + 1)
        return soon


def handed_over(given: Given) -> Record:
    """The update from an open file; whoever hands it over has agreed to it."""
    return Record(
        origin="local", url=given.path, name=given.name, size=given.size, artifact=given.identity, consent="now"
    )
