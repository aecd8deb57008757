"""Deployments that wait until somebody agrees: what is offered, what the answers do, and what is agreed for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hawkbit.lab import Device, Lab

pytestmark = pytest.mark.feature("management", "confirmation")


@pytest.fixture(autouse=True)
def flow(lab: Lab) -> Iterator[None]:
    with lab.configured("user.confirmation.flow.enabled", True, False):
        yield


def answer(device: Device, action: int, word: str, **more: object) -> int:
    body = {"confirmation": word, "details": ["why"], **more}
    return device.send("POST", f"/confirmationBase/{action}/feedback", body).status_code


def test_a_question_is_asked_before_a_deployment(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.offer() == f"confirmationBase/{action}"
    assert device.get(f"/deploymentBase/{action}").status_code == 404
    assert lab.kinds(device, action)[-1] == "wait_for_confirmation"


def test_the_question_shows_what_is_to_be_installed(lab: Lab) -> None:
    device, action = lab.assigned()
    document = device.get(f"/confirmationBase/{action}").json()
    assert document["id"] == str(action)
    (chunk,) = document["confirmation"]["chunks"]
    assert chunk["artifacts"][0]["filename"] == "bundle.raucb"
    assert "deployment" not in document


def test_confirmed_offers_the_deployment(lab: Lab) -> None:
    device, action = lab.assigned()
    assert answer(device, action, "confirmed", code=1) == 200
    assert device.offer() == f"deploymentBase/{action}"


def test_denied_asks_again_on_every_poll(lab: Lab) -> None:
    device, action = lab.assigned()
    assert answer(device, action, "denied") == 200
    assert device.offer() == f"confirmationBase/{action}"
    assert answer(device, action, "denied") == 200
    assert device.offer() == f"confirmationBase/{action}"


def test_denied_can_be_followed_by_confirmed(lab: Lab) -> None:
    device, action = lab.assigned()
    answer(device, action, "denied")
    assert answer(device, action, "confirmed") == 200
    assert device.offer() == f"deploymentBase/{action}"


def test_an_unknown_word_is_400(lab: Lab) -> None:
    device, action = lab.assigned()
    assert answer(device, action, "perhaps") == 400


def test_feedback_on_the_deployment_is_404_while_it_waits(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.say(action, "closed", "success") == 404
    assert device.offer() == f"confirmationBase/{action}"


def test_an_assignment_may_need_no_confirmation(lab: Lab) -> None:
    device, action = lab.assigned(confirmationRequired=False)
    assert device.offer() == f"deploymentBase/{action}"


def test_the_operator_may_confirm(lab: Lab) -> None:
    device, action = lab.assigned()
    lab.operator.call("PUT", f"/targets/{device.name}/actions/{action}/confirmation", {"confirmation": "confirmed"})
    assert device.offer() == f"deploymentBase/{action}"


def test_a_waiting_action_can_be_cancelled(lab: Lab) -> None:
    device, action = lab.assigned()
    lab.operator.cancel(device.name, action)
    assert device.offer() == f"cancelAction/{action}"


def test_an_answer_after_the_end_is_410(lab: Lab) -> None:
    device, action = lab.assigned()
    answer(device, action, "confirmed")
    device.say(action, "closed", "success")
    assert answer(device, action, "confirmed") == 410


def test_a_device_can_agree_for_ever(lab: Lab) -> None:
    device = lab.device()
    assert device.get("/confirmationBase").json()["autoConfirm"]["active"] is False
    agreed = device.send("POST", "/confirmationBase/activateAutoConfirm", {"initiator": "owner", "remark": "always"})
    assert agreed.status_code == 200
    told = device.get("/confirmationBase").json()["autoConfirm"]
    assert (told["active"], told["initiator"], told["remark"]) == (True, "owner", "always")
    action = lab.operator.assign(lab.bundle(), device.name)
    assert device.offer() == f"deploymentBase/{action}"


def test_agreeing_for_ever_confirms_what_waits(lab: Lab) -> None:
    device, action = lab.assigned()
    device.send("POST", "/confirmationBase/activateAutoConfirm", {})
    assert device.offer() == f"deploymentBase/{action}"


def test_agreeing_for_ever_twice_is_409(lab: Lab) -> None:
    device = lab.device()
    device.send("POST", "/confirmationBase/activateAutoConfirm", {})
    assert device.send("POST", "/confirmationBase/activateAutoConfirm", {}).status_code == 409


def test_agreement_can_be_taken_back(lab: Lab) -> None:
    device = lab.device()
    device.send("POST", "/confirmationBase/activateAutoConfirm", {})
    assert device.send("POST", "/confirmationBase/deactivateAutoConfirm").status_code == 200
    action = lab.operator.assign(lab.bundle(), device.name)
    assert device.offer() == f"confirmationBase/{action}"
