"""ACTIVATING to REVERTING: the one write, the reset, the trial, and the way back."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.daemon.activities import holdings
from agent.daemon.activities.late import Late
from agent.daemon.context import Context
from agent.daemon.inbox import Stopped
from agent.daemon.machine import Event
from agent.daemon.record import Reason, Record
from agent.daemon.runner import Step
from agent.errors import EnvironmentFault
from agent.health.cause.notes import STOPPED

if TYPE_CHECKING:
    from agent.health.cause.why import Cause
    from agent.health.result import Verdict
    from agent.health.suite import Suite

_log = logging.getLogger(__name__)
_RESET_PATIENCE = 600.0  # seconds: an orderly shutdown may take its time, but not for ever


def activating(context: Context, record: Record) -> Step:
    """One atomic write: the target first, the running slot surely bootable behind it, and our marker."""
    record = replace(
        record, fallback=context.device.booted.bootname
    )  # not always the one that was running at the start
    context.notes.begin(record.trial_marker())
    context.device.env.activate(record.target, fallback=record.fallback, trial=record.trial_marker())
    state = context.device.env.read()
    if state.order[:1] != (record.target,) or state.trial != record.trial_marker():
        raise EnvironmentFault(
            "bootenv.not-active", "the boot environment does not hold what was written to it",
            details=f"order {' '.join(state.order)}, marker {state.trial!r}",
            resolution="check the storage that bootloader.* names",
        )  # fmt: skip
    try:
        holdings.settled(context, record, "activated")
    except EnvironmentFault as error:  # the switch has been made; a count is not worth undoing it
        _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
    return Step(Event.DONE, record)


def rebooting(context: Context, record: Record) -> Step:
    """Asks for the reset and waits for it; the answer comes with the next boot."""
    _reset(context, record, context.device.env.capabilities.reboot_argument)
    raise EnvironmentFault(
        "reboot.refused", "the device did not restart", details=f"waited {_RESET_PATIENCE:.0f} s",
        resolution="look for what inhibits the shutdown: systemd-inhibit --list",
    )  # fmt: skip


def trial(context: Context, record: Record) -> Step:
    """Runs the health checks on the new system until they have been green for the soak time, or the deadline is over."""
    health = context.config.health
    holdings.note_use(context)
    context.tell({"Progress": (1.0, "the new system is on trial", record.size)})
    context.notes.entered(record.trial_marker(), context.device.boot_id)
    left = max(0.0, health.deadline - (context.clock.boottime() - record.entered))
    checks = context.trial_checks if record.origin == "server" else context.boot_checks
    try:
        verdict = checks.evaluate(
            deadline=left, soak=health.soak, interval=health.interval,
            clock=context.clock.boottime, sleep=Late(context, record).pause, seen=context.notes.round,
        )  # fmt: skip
        if not verdict.ok:
            context.inbox.wait(0)  # a system on its way down is not sick: the next start judges again
    except Stopped:
        context.notes.left(STOPPED)
        raise
    if verdict.ok:
        context.audit.note("health", "passed", slot=record.target, trial=True)
        return Step(Event.DONE, record)
    reason = _judged_reason(context, checks, verdict)
    context.audit.note("health", "failed", slot=record.target, trial=True, text=verdict.text)
    return Step(Event.FAILED, replace(record, outcome="failure", reason=reason))


def confirming(context: Context, record: Record) -> Step:
    """Marks the new system good, and only then raises the floor."""
    context.device.env.confirm(record.target)
    holdings.settled(context, record, "confirmed")
    floor = context.knowledge.floor()
    context.knowledge.confirmed(record.min_version, record.signed_at)
    context.audit.note("confirmed", record.version, slot=record.target, manifest=record.manifest_hash)
    if (raised := context.knowledge.floor()) != floor:
        context.audit.note("floor", raised, before=floor)
    return Step(Event.DONE, replace(record, outcome="success", reason=None))


def reverting(context: Context, record: Record) -> Step:
    """Makes the old slot the choice again in one write; when the new one still runs, restarts out of it."""
    running = context.device.booted.bootname  # of three slots it can be neither: the fallback did not boot either
    if running != record.target and record.reason is None:
        record = replace(record, reason=_found_reason(context, record, running))
        with suppress(EnvironmentFault):  # the traces are there until the device has told of them, and longer
            context.memory.save(record)
    context.device.env.revert(record.target, record.fallback if running == record.target else running)
    if running == record.target:  # a bad system may not be able to write; the old one goes on
        _reset(context, record)
        raise EnvironmentFault("reboot.refused", "the device did not restart into the version before")
    holdings.settled(context, record, "bad")
    code, details = (record.reason.code, record.reason.details) if record.reason else ("boot.fallback", "")
    context.audit.note("fallback", code, slot=record.target, running=running, details=details)
    return Step(Event.DONE, replace(record, outcome="failure"))


def _found_reason(context: Context, record: Record, running: str) -> Reason:
    """What the traces say when the bootloader went back by itself."""
    from agent.health.cause.why import why

    marker = record.trial_marker()
    confirmed = record.outcome == "success"  # and gone before anybody was told
    evidence = context.notes.evidence(
        marker, target=record.target, running=running, confirmed=confirmed,
        reverted=not confirmed and context.device.env.read().trial != marker,
    )  # fmt: skip
    return _reason(why(evidence))


def _judged_reason(context: Context, checks: Suite, verdict: Verdict) -> Reason:
    """What the checks say."""
    from agent.health.cause.why import judged  # a system that is healthy has no use for it
    from agent.health.failed_units import failed_units

    of_systemd = {"units", "boot-complete"} & set(checks.names)
    units = failed_units(context.config.health.check_timeout) if of_systemd else ()
    return _reason(judged(verdict, units))


def _reason(cause: Cause) -> Reason:
    reason = Reason(cause.code, cause.brief, cause.details, cause.resolution)
    _log.error("%s: %s", reason.brief, reason.details, extra={"OTA_ERROR_CODE": reason.code})
    return reason


def _reset(context: Context, record: Record, argument: str = "") -> None:
    context.tell({"Progress": (1.0, "restarting", 0)})
    if context.server is not None:
        context.server.deliver()
    if context.config.update.reboot:
        context.reset(argument)
        context.inbox.pause(_RESET_PATIENCE)
    else:
        how = f', with the argument "{argument}"' if argument else ""
        _log.warning("a restart is needed%s; automatic restarts are off (update.reboot)", how)
        with suppress(EnvironmentFault):  # no failure, however often the daemon is started while a person is awaited
            context.memory.save(replace(record, attempts=0))
        late = Late(context, record)
        while True:
            late.wait()
