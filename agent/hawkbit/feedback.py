"""What we tell the server about an action.

``closed`` with ``success`` is final on the server: it moves the installed version and lets a rollout advance. So it is
said only after the new system has proven itself. ``closed`` with ``none`` counts as success in hawkBit and cannot be
built here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

Kind = Literal["deployment", "cancel", "confirmation"]
Execution = Literal["closed", "proceeding", "rejected", "downloaded", "confirmed", "denied"]
Finished = Literal["success", "failure", "none"]

MAX_DETAILS = 40  # hawkBit stores at most 50 messages with one feedback
MAX_DETAIL = 500  # characters; hawkBit splits at 512, and the parts count
MAX_CODE = 2**31 - 1
_RESOURCES = {"deployment": "deploymentBase", "cancel": "cancelAction", "confirmation": "confirmationBase"}
_ANSWERS = ("confirmed", "denied")  # of a confirmation, and of nothing else


@dataclass(frozen=True, slots=True)
class Feedback:
    """One message about one action.

    Args:
        kind: ``deployment`` answers the deployment, ``cancel`` the wish to cancel it, ``confirmation`` the question
            whether it may begin.
        action_id: the server's number of the action.
        execution: DDI's word for what happened.
        finished: DDI's word for the result.
        code: a number for the operator, or None.
        details: lines for the operator; made safe and cut to fit.
        terminal: ends our part of the conversation; such a message must arrive.

    Raises:
        ValueError: for a combination that hawkBit would misunderstand.
    """

    kind: Kind
    action_id: str
    execution: Execution
    finished: Finished
    code: int | None
    details: tuple[str, ...]
    terminal: bool

    def __post_init__(self) -> None:
        if self.execution == "closed" and self.finished == "none":
            raise ValueError("closed without a result counts as success")
        if self.kind not in _RESOURCES or not self.action_id:
            raise ValueError("feedback needs a kind and an action")
        if (self.kind == "confirmation") != (self.execution in _ANSWERS):
            raise ValueError("a confirmation is confirmed or denied, and nothing else is")
        if self.code is not None and not -MAX_CODE <= self.code <= MAX_CODE:
            raise ValueError("the code does not fit into 32 bits")
        object.__setattr__(self, "details", safe_details(self.details))

    @property
    def path(self) -> str:
        """Where it is posted, below the controller's base address."""
        return f"{_RESOURCES[self.kind]}/{self.action_id}/feedback"

    def body(self, timestamp_ms: int | None = None, *, minimal: bool = False) -> bytes:
        """Returns the JSON body.

        Args:
            timestamp_ms: milliseconds since 1970 when it happened; only when the clock is synchronised, because hawkBit
                ignores an installation that seems older than the last one. None lets the server use its own clock. A
                confirmation has none.
            minimal: leave out every optional field but the details.
        """
        if self.kind == "confirmation":
            answer: dict[str, object] = {"confirmation": self.execution}
            if self.code is not None and not minimal:
                answer["code"] = self.code
            return json.dumps({**answer, "details": list(self.details)}, separators=(",", ":")).encode("ascii")
        status: dict[str, object] = {"execution": self.execution, "result": {"finished": self.finished}}
        if self.code is not None and not minimal:
            status["code"] = self.code
        status["details"] = list(self.details)
        document: dict[str, object] = {"status": status}
        if self.action_id.isascii() and self.action_id.isdigit():
            document["id"] = int(
                self.action_id
            )  # hawkBit up to 0.3.0M7 refuses feedback without it, later ones ignore it
        if timestamp_ms is not None and not minimal:
            document["timestamp"] = timestamp_ms
        return json.dumps(document, separators=(",", ":")).encode("ascii")

    def to_json(self) -> dict[str, object]:
        """Returns plain values for storage."""
        return {
            "kind": self.kind,
            "action_id": self.action_id,
            "execution": self.execution,
            "finished": self.finished,
            "code": self.code,
            "details": list(self.details),
            "terminal": self.terminal,
        }


def proceeding(action_id: str, *details: str, code: int | None = None) -> Feedback:
    """Work goes on."""
    return Feedback("deployment", action_id, "proceeding", "none", code, details, terminal=False)


def success(action_id: str, *details: str, code: int | None = None) -> Feedback:
    """The new system runs, is healthy and is confirmed. Final."""
    return Feedback("deployment", action_id, "closed", "success", code, details, terminal=True)


def failure(action_id: str, *details: str, code: int | None = None) -> Feedback:
    """The update was refused, failed or was taken back. Final."""
    return Feedback("deployment", action_id, "closed", "failure", code, details, terminal=True)


def downloaded(action_id: str, *details: str, code: int | None = None) -> Feedback:
    """A download-only action is done. Final: the server closes it and answers 410 to anything later."""
    return Feedback("deployment", action_id, "downloaded", "success", code, details, terminal=True)


def cancel_accepted(action_id: str, *details: str, code: int | None = None) -> Feedback:
    """We stopped and nothing changed. Final, which ``canceled`` would not be: it leaves the action open for ever."""
    return Feedback("cancel", action_id, "closed", "success", code, details, terminal=True)


def cancel_rejected(action_id: str, *details: str, code: int | None = None) -> Feedback:
    """Too late to stop; the deployment goes on and will be offered again."""
    return Feedback("cancel", action_id, "rejected", "none", code, details, terminal=True)


def confirmed(action_id: str, *details: str, code: int | None = None) -> Feedback:
    """The action may begin. Must arrive: the server offers the deployment only then."""
    return Feedback("confirmation", action_id, "confirmed", "none", code, details, terminal=True)


def denied(action_id: str, *details: str, code: int | None = None) -> Feedback:
    """The action may not begin, for now; it stays open, and hawkBit goes on offering it."""
    return Feedback("confirmation", action_id, "denied", "none", code, details, terminal=True)


def safe_details(details: Iterable[str]) -> tuple[str, ...]:
    """Returns at most 40 lines of at most 500 printable ASCII characters; the last line counts what was left out."""
    lines = [line for detail in details for line in _lines(detail)]
    if len(lines) > MAX_DETAILS:
        left_out = len(lines) - (MAX_DETAILS - 1)
        lines = [*lines[: MAX_DETAILS - 1], f"({left_out} more lines)"]
    return tuple(lines)


def _lines(detail: str) -> list[str]:
    found: list[str] = []
    for line in detail.splitlines():
        plain = "".join(character if character.isprintable() else " " for character in line).strip()
        text = plain.encode("ascii", "backslashreplace").decode("ascii")
        if text:
            found.append(text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 3] + "...")
    return found


def from_json(value: object) -> Feedback:
    """Builds what ``to_json`` took apart.

    Raises:
        ValueError: when it is something else.
    """
    if not isinstance(value, dict):
        raise ValueError("feedback is no object")
    kind, execution, finished = value.get("kind"), value.get("execution"), value.get("finished")
    action_id, code, details = value.get("action_id"), value.get("code"), value.get("details")
    terminal = value.get("terminal")
    if kind not in tuple(_RESOURCES) or finished not in ("success", "failure", "none"):
        raise ValueError("feedback has an unknown kind or result")
    if execution not in ("closed", "proceeding", "rejected", "downloaded", *_ANSWERS):
        raise ValueError("feedback has an unknown execution")
    if not isinstance(action_id, str) or not 0 < len(action_id) <= 64 or not isinstance(terminal, bool):
        raise ValueError("feedback has no action or does not say whether it is final")
    if (code is not None and not isinstance(code, int)) or isinstance(code, bool):
        raise ValueError("feedback has a code that is no number")
    if not isinstance(details, list) or len(details) > MAX_DETAILS or not all(isinstance(d, str) for d in details):
        raise ValueError("feedback has details that are no lines")
    return Feedback(
        cast("Kind", kind),
        action_id,
        cast("Execution", execution),
        cast("Finished", finished),
        code,
        tuple(details),
        terminal,
    )
