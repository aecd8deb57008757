"""hawkBit's auto-confirmation (since 0.3.0M8): a target for which the server confirms every assignment by itself. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from agent.hawkbit.document import invalid, load, mapping, text
from agent.hawkbit.model import href_of

INITIATOR = "ota-agent"  # shown to operators; a controller id may be longer than what hawkBit stores here
BODY = json.dumps({"initiator": INITIATOR, "remark": "set up on the device"}, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True, slots=True)
class AutoConfirmation:
    """Whether it is on, who switched it on, and the links that switch it; a link that is not offered is empty."""

    active: bool
    initiator: str
    activate: str
    deactivate: str


def parse_auto_confirmation(data: bytes) -> AutoConfirmation:
    """Reads the ``confirmationBase`` of a target, which belongs to no action.

    Raises:
        EnvironmentFault: ``ddi.invalid-document``.
    """
    document = load(data)
    state, links = mapping(document, "autoConfirm"), mapping(document, "_links")
    active = state.get("active")
    if not isinstance(active, bool):
        raise invalid("autoConfirm does not say whether it is active")
    return AutoConfirmation(
        active=active,
        initiator=text(state, "initiator") or "",
        activate=href_of(links, "activateAutoConfirm") or "",
        deactivate=href_of(links, "deactivateAutoConfirm") or "",
    )
