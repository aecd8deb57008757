"""IDLE: mark a healthy boot good, then wait for the next poll, a request, or the end."""

from __future__ import annotations

import logging
from pathlib import Path

from agent.daemon.context import Context
from agent.daemon.machine import Event
from agent.daemon.record import Record
from agent.daemon.runner import Step
from agent.errors import OtaError, explain
from agent.hawkbit import feedback
from agent.hawkbit.model import Base

_log = logging.getLogger(__name__)


class Idle:
    """The activity of IDLE; it remembers only whether this boot was marked good already."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._marked = False

    def __call__(self, record: Record) -> Step:
        """Returns when there is something to do."""
        context = self._context
        context.inbox.take_cancel()  # there is nothing to cancel
        self._mark_good()
        while True:
            if path := context.inbox.take_install():
                return Step(Event.OFFERED, Record(origin="local", url=path, name=Path(path).name))
            server = context.server
            asked = context.inbox.take_check()
            if server is not None and (asked or context.clock.boottime() >= server.next_poll):
                offer = self._poll()
                if offer is not None:
                    return Step(Event.OFFERED, offer)
            if server is None:
                context.inbox.wait(None)
            else:
                context.tell({"NextCheck": int(context.clock.wall() + server.next_poll - context.clock.boottime())})
                context.inbox.wait(server.next_poll - context.clock.boottime())

    def _mark_good(self) -> None:
        """An ordinary boot uses up one of the slot's attempts; a healthy one gives them back."""
        context = self._context
        if self._marked:
            return
        health = context.config.health
        verdict = context.boot_checks.evaluate(
            deadline=health.deadline, soak=health.soak, interval=health.interval,
            clock=context.clock.boottime, sleep=context.inbox.pause,
        )  # fmt: skip
        if verdict.ok:
            context.device.env.mark_good(context.device.booted.bootname)
        else:
            _log.error("the running system is not healthy: %s", verdict.text, extra={"OTA_ERROR_CODE": "health.failed"})
        self._marked = True

    def _poll(self) -> Record | None:
        context, server = self._context, self._context.server
        if server is None:
            return None
        try:
            base = server.poll()
        except OtaError as error:
            _log.warning("the server was not reached: %s", error, extra={"OTA_ERROR_CODE": error.code})
            context.tell({"ServerState": error.code, "LastCheck": int(context.clock.wall())})
            parts = explain(error)
            context.tell({"LastError": (error.code, str(parts["brief"]), error.resolution)})
            return None
        context.tell({"ServerState": "ok", "LastCheck": int(context.clock.wall())})
        return self._offer(base)

    def _offer(self, base: Base) -> Record | None:
        server = self._context.server
        if base.cancel is not None and server is not None:
            # No update is under way, so nothing has changed on the device and nothing can be undone.
            server.say(feedback.cancel_accepted(base.cancel.action_id, "nothing was installed for this action"))
            server.deliver()
            server.next_poll = self._context.clock.boottime()  # there may be another action behind it
            return None
        link = base.deployment
        return None if link is None else Record(origin="server", action_id=link.action_id, href=link.href)
