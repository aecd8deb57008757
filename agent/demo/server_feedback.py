"""What the development server makes of a device's feedback. Read from ``DdiRootController`` of hawkBit 1.0.4."""

from __future__ import annotations

from typing import NamedTuple

from agent.demo import server_actions as actions
from agent.demo.server_body import code_of, details_of, json_object
from agent.demo.server_state import State
from agent.demo.server_values import SERVER, Action, Refused

EXECUTIONS = ("closed", "proceeding", "canceled", "scheduled", "rejected", "resumed", "downloaded", "download")
RESULTS = ("success", "failure", "none")
_KINDS = {"rejected": "WARNING", "canceled": "CANCELED", "download": "DOWNLOAD", "downloaded": "DOWNLOADED"}
_SILENT = {  # what the history says when the device said nothing
    "CANCELED": "Target confirmed cancellation..",
    "WARNING": "Target REJECTED update.",
    "DOWNLOAD": "Target confirmed download start.",
    "DOWNLOADED": "Target confirmed download finished.",
    "ERROR": "Target reported CLOSED with ERROR!.",
    "FINISHED": "Target reported CLOSED with OK!.",
}


class Status(NamedTuple):
    """A feedback body, checked."""

    execution: str
    finished: str
    code: int | None
    details: tuple[str, ...]
    timestamp: int | None

    @property
    def coded(self) -> tuple[str, ...]:
        """The line that the server adds for a code."""
        return () if self.code is None else (f"Device reported status code: {self.code}",)


def parse_status(data: bytes) -> Status:
    """Checks a feedback body; hawkBit answers 400 for what it cannot read."""
    document = json_object(data)
    status = document.get("status")
    if not isinstance(status, dict):
        raise _unreadable("status is missing")
    result = status.get("result")
    if not isinstance(result, dict) or result.get("finished") not in RESULTS:
        raise _unreadable("result.finished is missing or unknown")
    if status.get("execution") not in EXECUTIONS:
        raise _unreadable("execution is missing or unknown")
    return Status(
        status["execution"], result["finished"], code_of(status, "code"), details_of(status),
        code_of(document, "timestamp"),
    )  # fmt: skip


def _unreadable(why: str) -> Refused:
    return Refused(400, why, "hawkbit.server.error.rest.body.notReadable")


def deployment_feedback(state: State, action: Action, status: Status) -> None:
    """What a device says about its deployment. ``closed`` with ``none`` counts as success, as in hawkBit."""
    if action.waiting:
        raise Refused(404, "the action waits for a confirmation")
    if not action.active:
        raise Refused(410, "the action is closed")
    if status.execution == "closed":
        kind = "ERROR" if status.finished == "failure" else "FINISHED"
    else:
        kind = _KINDS.get(status.execution, "RUNNING")
    messages = (*status.details, *status.coded)
    if not messages:
        messages = (SERVER + _SILENT.get(kind, f"Target reported {status.execution.upper()}."),)
    state.check_quota(action, kind, messages)
    if kind == "ERROR":
        actions.fail(state, action)
    elif kind == "FINISHED":
        actions.finish(state, action, status.timestamp)
    elif kind == "DOWNLOADED":
        actions.downloaded(state, action)
    if action.last_code != status.code:
        action.last_code = status.code
        action.version += 1
    state.record(action, kind, messages, code=status.code, timestamp=status.timestamp)


def cancel_feedback(state: State, action: Action, status: Status) -> None:
    """What a device says about a cancellation. ``canceled`` does not end it: the device must say ``closed``."""
    if not action.cancelling_or_cancelled:
        raise Refused(405, "the action is not being cancelled", "hawkbit.server.error.action.notCancelable")
    said: tuple[str, ...] = ()
    if status.execution == "canceled":
        kind, said = "WARNING", ("Target reported cancel for a cancel which is not supported by the server.",)
    elif status.execution == "rejected":
        kind, said = "CANCEL_REJECTED", ("Target rejected the cancellation request.",)
    elif status.execution == "closed" and status.finished == "failure":
        kind, said = "ERROR", ("Target was not able to complete cancellation.",)
    elif status.execution == "closed":
        kind, said = "CANCELED", ("Cancellation confirmed.",)
    else:
        kind = "RUNNING"
    messages = (*(SERVER + line for line in said), *status.details, *status.coded)
    if kind == "CANCELED":
        messages = (*messages, f"{SERVER}Cancellation completion is finished successfully.")
        actions.cancelled(state, action)
    elif kind in ("ERROR", "CANCEL_REJECTED"):
        state.change(action, "RUNNING")
    else:
        state.check_quota(action, kind, messages)
    state.record(action, kind, messages, code=status.code, timestamp=status.timestamp)
