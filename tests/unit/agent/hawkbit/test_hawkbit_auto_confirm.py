"""The confirmationBase of a target, as hawkBit writes it; everything else is refused."""

from __future__ import annotations

import json

import pytest

from agent.errors import EnvironmentFault
from agent.hawkbit.auto_confirm import BODY, AutoConfirmation, parse_auto_confirmation


def test_a_target_that_is_asked_can_be_switched_on() -> None:
    document = {
        "autoConfirm": {"active": False},
        "_links": {"activateAutoConfirm": {"href": "https://s/on"}, "confirmationBase": {"href": "https://s/7?c=1"}},
    }
    told = parse_auto_confirmation(json.dumps(document).encode())
    assert told == AutoConfirmation(active=False, initiator="", activate="https://s/on", deactivate="")


def test_a_target_that_is_not_asked_says_who_did_it() -> None:
    document = {
        "autoConfirm": {"active": True, "initiator": "owner", "remark": "r", "activatedAt": 1691065895439},
        "_links": {"deactivateAutoConfirm": {"href": "https://s/off"}},
    }
    told = parse_auto_confirmation(json.dumps(document).encode())
    assert told == AutoConfirmation(active=True, initiator="owner", activate="", deactivate="https://s/off")


@pytest.mark.parametrize(
    "text",
    [
        "{}", "[]", '{"autoConfirm": {}}', '{"autoConfirm": {"active": "true"}}', '{"autoConfirm": []}',
        '{"autoConfirm": {"active": true, "initiator": 7}}', '{"autoConfirm": {"active": true, "initiator": "\\u0000"}}',
        '{"autoConfirm": {"active": true}, "_links": {"deactivateAutoConfirm": {"href": "a b"}}}',
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        parse_auto_confirmation(text.encode())
    assert caught.value.code == "ddi.invalid-document"


def test_what_is_sent_fits_into_hawkbits_fields() -> None:
    sent = json.loads(BODY)
    assert set(sent) == {"initiator", "remark"}
    assert len(sent["initiator"]) <= 64
