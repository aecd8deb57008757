"""The confirmation flow: an action waits until the device, or somebody for it, agrees.

Read from ``JpaConfirmationManagement`` of hawkBit 1.0.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agent.demo.server_body import code_of, details_of, json_object
from agent.demo.server_state import State
from agent.demo.server_values import SERVER, Action, AutoConfirm, Refused, Target, now_ms

_CONFIRMED = "Target confirmed action. Therefore, it will be set to the running state to proceed with the deployment."
_DENIED = "Target rejected action. Action will stay in confirmation pending state."


class Answered(NamedTuple):
    """What a device, or an operator for it, says to an action that waits."""

    confirmed: bool
    code: int | None
    details: tuple[str, ...]


def parse_answer(data: bytes) -> Answered:
    """Checks a body; 400 for what hawkBit cannot read."""
    document = json_object(data)
    said = document.get("confirmation")
    if said not in ("confirmed", "denied"):
        raise Refused(400, "confirmation is missing or unknown")
    return Answered(said == "confirmed", code_of(document, "code"), details_of(document))


def take_answer(state: State, action: Action, answered: Answered) -> None:
    """Confirmed lets the action run; denied leaves it waiting, and it is offered again with every poll."""
    if not action.active:
        raise Refused(410, "the action is closed")
    if not action.waiting:
        raise Refused(404, "the action does not wait for a confirmation")
    kind = "RUNNING" if answered.confirmed else "WAIT_FOR_CONFIRMATION"
    messages = [*answered.details, SERVER + (_CONFIRMED if answered.confirmed else _DENIED)]
    if answered.code is not None:
        messages.append(f"Confirmation status code: {answered.code}")
    state.check_quota(action, kind, messages)
    if answered.confirmed:
        state.change(action, "RUNNING")
    action.last_code = answered.code
    state.record(action, kind, messages, code=answered.code)


def activate(state: State, target: Target, initiator: str | None, remark: str | None, by: str) -> None:
    """The target confirms by itself from now on, and what waits is confirmed."""
    if target.auto_confirm is not None:
        raise Refused(409, "auto-confirmation is active", "hawkbit.server.error.repo.autoConfAlreadyActive")
    auto = target.auto_confirm = AutoConfirm(initiator, remark, now_ms(), by)
    for action in state.open_actions(target.controller_id):
        if action.waiting:
            state.change(action, "RUNNING")
            state.record(action, "RUNNING", (auto.message,))


def deactivate(target: Target) -> None:
    """The target is asked again."""
    target.auto_confirm = None


def optional_text(document: Mapping[str, object], key: str) -> str | None:
    """A text of a body, or None."""
    value = document.get(key)
    return None if value is None else str(value)
