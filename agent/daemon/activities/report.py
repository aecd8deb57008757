"""REPORTING: how the update ended goes into the outbox, durably, before the record is cleared."""

from __future__ import annotations

import logging

from agent.codes import number
from agent.daemon.activities import holdings
from agent.daemon.activities.watch import answer_cancel
from agent.daemon.activities.work import programs_directory, remove_spools, spool
from agent.daemon.context import Context
from agent.daemon.knowledge import Ending
from agent.daemon.machine import Event
from agent.daemon.record import Reason, Record
from agent.daemon.runner import Step
from agent.daemon.server import Server
from agent.hawkbit import feedback
from agent.hawkbit.phases import Phase

_log = logging.getLogger(__name__)
_NO_REASON = Reason("", "")


def reporting(context: Context, record: Record) -> Step:
    """Tells the server (through the outbox) and the device how it ended."""
    reason = record.reason or _NO_REASON
    context.audit.note(
        "finished", record.outcome, action=record.action_id, version=record.version, code=reason.code,
        details=reason.details,
    )  # fmt: skip
    if context.server is not None:
        _tell_server(context, context.server, record)
    if record.outcome not in ("success", "downloaded"):
        holdings.given_up(context, record)
    before = context.knowledge.ending()
    same = (record.action_id, record.artifact) == (before.action_id, before.artifact)
    context.knowledge.set_ending(
        Ending(
            outcome=record.outcome, version=record.version, code=reason.code, brief=reason.brief,
            details=reason.details, resolution=reason.resolution, finished=int(context.clock.wall()),
            action_id=record.action_id, target=record.target, artifact=record.artifact,
            repeats=before.repeats + 1 if record.origin == "server" and same else 0,
        )
    )  # fmt: skip
    context.desk.ended(record)
    if record.outcome == "success":
        _log.info("update to %s confirmed", record.version, extra={"OTA_BUNDLE_VERSION": record.version})
    elif record.outcome == "downloaded":
        _log.info("version %s was downloaded, as assigned", record.version)
    else:
        _log.warning("update to %s: %s %s", record.version, record.outcome, reason.brief)
    if not context.inbox.install_asked():  # another one may have been handed over already
        context.handed.release()
    state_dir = context.config.system.state_dir
    remove_spools(state_dir, spool(state_dir, record) if record.outcome == "downloaded" else None)
    left = programs_directory(context.config)
    if left.exists():
        import shutil  # it brings compression with it, which an idle daemon has no use for

        shutil.rmtree(left, ignore_errors=True)
    context.notes.forget()
    result = (record.outcome, record.version, reason.code)
    context.tell({"LastResult": (*result, reason.brief), "Finished": result})
    return Step(Event.DONE, Record())


def _tell_server(context: Context, server: Server, record: Record) -> None:
    if record.origin == "server" and record.action_id not in ("", "-"):
        if record.outcome == "cancelled" and record.reason is None:
            # hawkBit takes the same answer twice. What an earlier start did not get to say, it still asks for: see IDLE.
            if record.attempts <= 1:
                answer_cancel(context, record.action_id, record.manifest_hash, begun=True)
        elif record.outcome != "vanished":  # the server does not know that action any more
            server.say(last_word(record, context.audit.seal()))
        server.deliver()
    if record.outcome == "success":  # of a set that was told before, another one takes the place
        name = context.config.server.report_installed if record.origin != "server" else ""
        server.installed(name, record.version)


def last_word(record: Record, seal: str = "") -> feedback.Feedback:
    """The terminal message about the deployment; ``seal`` is the newest place of the audit log, kept by the server."""
    reason = record.reason or _NO_REASON
    sealed = f"audit: {seal}" if seal else ""
    if record.outcome == "success":
        return feedback.success(
            record.action_id,
            f"version {record.version} runs in slot {record.target}, is healthy and confirmed",
            sealed,
            code=Phase.SUCCESS,
        )
    if record.outcome == "downloaded":
        text = f"all of version {record.version} was fetched and verified; it is not installed"
        return feedback.downloaded(record.action_id, text, sealed, code=Phase.DOWNLOADED)
    lines = [
        f"[{reason.code}] {reason.brief}",
        reason.details,
        f"next: {reason.resolution}" if reason.resolution else "",
        sealed,
    ]
    return feedback.failure(record.action_id, *lines, code=number(reason.code))
