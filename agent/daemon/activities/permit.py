"""HELD and WAITING: what has to be allowed first, by the server, the device's policy or somebody, and how long that takes.

While it waits, the device polls as if it had nothing to do, reads the deployment again only when its link has changed,
and answers at once to whoever approves, denies, postpones or cancels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from agent.consent.rules import Stride
from agent.daemon.activities import telling
from agent.daemon.activities.offer import as_offered
from agent.daemon.activities.watch import Watch
from agent.daemon.context import Context
from agent.daemon.handling import Hold, all_before_fetching, all_before_installing, only_fetch
from agent.daemon.inbox import Cancelled
from agent.daemon.machine import Event
from agent.daemon.record import Record
from agent.daemon.runner import Step
from agent.errors import ConfigError, OtaError, PolicyError
from agent.hawkbit.phases import Phase

_log = logging.getLogger(__name__)
_SAID = {
    Hold.CONSENT: (Phase.ASKING, "waiting until somebody on the device approves"),
    Hold.WINDOW: (Phase.WINDOW, "waiting for the maintenance window"),
    Hold.SERVER: (Phase.HELD, "waiting: the server allows neither fetching nor installing"),
    Hold.OPT_OUT: (
        Phase.OPTED_OUT,
        "opted out: somebody on the device does not want updates to be installed by themselves",
    ),
    Hold.POSTPONED: (Phase.POSTPONED, "postponed by somebody on the device"),
    Hold.METERED: (Phase.UNFIT, "waiting for a connection that is not metered"),
    Hold.POWER: (Phase.UNFIT, "waiting for power"),
    Hold.BUSY: (Phase.UNFIT, "waiting until the device is not busy"),
    Hold.INHIBITOR: (Phase.UNFIT, "waiting for programs on the device that do not want a restart now"),
}
_PEOPLE = (Hold.CONSENT, Hold.OPT_OUT)
Holds = Callable[[Record], tuple[Hold, ...]]


def held(context: Context, record: Record) -> Step:
    """Waits while not even a part of the bundle may be fetched; or not all of one that cannot be looked at without."""
    whole = record.bundle_format == "plain"

    def hold(now: Record) -> tuple[Hold, ...]:
        own = context.desk.holds(now, Stride.DOWNLOAD) if whole else ()
        return all_before_fetching(now, context.config.update.soft, own)

    return Step(Event.DONE, allowed(context, record, hold))


def waiting(context: Context, record: Record) -> Step:
    """Waits while the bundle, which is known to be good, may not be installed, or not be fetched by a download-only action."""
    record = allowed(context, record, lambda now: before(context, now, Stride.INSTALL))
    return Step(Event.FETCH if only_fetch(record) else Event.DONE, record)


def before(context: Context, record: Record, stride: Stride) -> tuple[Hold, ...]:
    """What holds a bundle back that is known to be good.

    Args:
        context: the collaborators.
        record: of the update.
        stride: INSTALL or RESTART.
    """
    if stride is Stride.INSTALL and only_fetch(record):
        return context.desk.holds(record, Stride.DOWNLOAD)
    return all_before_installing(record, context.config.update.soft, context.desk.holds(record, stride))


def allowed(context: Context, record: Record, hold: Holds) -> Record:
    """Returns the record as soon as nothing holds it back.

    Args:
        context: the collaborators.
        record: of the update.
        hold: what holds a record back.

    Raises:
        Cancelled: see ``Watch``; also when the server offers another bundle for the action.
        PolicyError: ``update.denied``.
        ConfigError: ``server.none``.
    """
    watch = Watch(context, record, patient=True)
    watch.look()
    if record.origin == "server" and context.server is None:
        raise ConfigError("server.none", "an update from the server is recorded, but no server is configured")
    if record.window:  # what was read before may be hours old
        if watch.ask() is None:  # only the server knows whether the window is still open
            record = replace(record, window="unavailable", href="")
        record = _as_now(context, watch, record)
    waited = False
    context.inbox.take_look()
    while reasons := hold(record):
        waited = True
        context.inbox.take_look()
        context.dismiss()
        record = _began_to_wait(context, record, reasons)
        asked = context.inbox.take_check()
        if asked and record.origin == "server":
            watch.ask()
        else:
            watch.look()
        record = _as_now(context, watch, record)
        record = _answered(context, record)
        if (left := hold(record)) and not context.inbox.spoken_to():
            _stay_in_touch(context, record, now=asked)
            watch.doze(context.desk.change_in(record, left))
    record = _answered(context, record)  # said in the last moment; it must not be taken for an answer to something else
    if waited:
        context.desk.waits(record, ())
    if waited or record.origin == "server":
        telling.offer(context, telling.remembered(record))
    return record


def _began_to_wait(context: Context, record: Record, reasons: tuple[Hold, ...]) -> Record:
    number, text = _SAID[reasons[0]]
    before_now = record
    record = telling.phase(context, record, number, text)
    if record is not before_now:
        _log.info("%s", text, extra={"OTA_ACTION_ID": record.action_id})
        if context.server is not None:
            context.server.deliver()
    telling.offer(context, telling.remembered(record), "wanted" if set(_PEOPLE) & set(reasons) else "")
    context.desk.waits(record, reasons)
    if record is not before_now or record.attempts:
        record = replace(record, attempts=0)  # waiting is no failure, however often the device restarts meanwhile
        context.memory.save(record)
    return record


def _stay_in_touch(context: Context, record: Record, *, now: bool) -> None:
    """While a local bundle waits, the server is polled as well: it is not to lose sight of the device."""
    server = context.server
    if server is None or record.origin == "server" or not (now or context.clock.boottime() >= server.plan.next_poll):
        return
    try:
        server.poll()
    except OtaError as error:
        _log.info("the server was not reached: %s", error)


def _answered(context: Context, record: Record) -> Record:
    """What somebody on the device has said to this action; what was said to another one is void."""
    said = context.inbox.take_consent()
    if said is None or said.action_id != record.action_id:
        return record
    if not said.approved:
        raise PolicyError(
            "update.denied", "the update was denied on the device", details=said.reason,
            resolution="ask the people there; then assign it again",
        )  # fmt: skip
    _log.info("action %s was approved", record.action_id, extra={"OTA_ACTION_ID": record.action_id})
    record = replace(record, consent="now" if said.now or record.consent == "now" else "given")
    context.memory.save(record)
    return record


def _as_now(context: Context, watch: Watch, record: Record) -> Record:
    """The record with what the server allows now, if its link to the deployment has changed since that was read.

    A server whose links carry no mark of the deployment's state is asked each time.
    """
    link, server = (watch.base.deployment if watch.base is not None else None), context.server
    watch.base = None
    if link is None or server is None or (link.href == record.href and "?" in link.href):
        return record
    try:
        now = as_offered(context, replace(record, href=link.href), server.deployment(link.href))
    except OtaError as error:
        if not error.retryable and error.code != "net.not-found":
            raise
        _log.warning("still waiting: %s", error, extra={"OTA_ERROR_CODE": error.code})
        return record
    if (now.action_id, now.artifact) != (record.action_id, record.artifact):
        _log.warning("action %s offers another bundle than before", record.action_id)
        raise Cancelled(by_server=True, vanished=True)
    if now != record:
        context.memory.save(now)
    return now
