"""An action that is taken back: what the device may answer, and what then becomes of it."""

from __future__ import annotations

import pytest

from hawkbit.lab import Device, Lab


@pytest.fixture
def cancelling(lab: Lab) -> tuple[Device, int]:
    device, action = lab.assigned()
    lab.operator.cancel(device.name, action)
    return device, action


def test_the_wish_is_offered_and_the_deployment_is_gone(cancelling: tuple[Device, int]) -> None:
    device, action = cancelling
    assert device.offer() == f"cancelAction/{action}"
    answer = device.get(f"/cancelAction/{action}")
    assert answer.json() == {"id": str(action), "cancelAction": {"stopId": str(action)}}
    assert device.get(f"/deploymentBase/{action}").status_code == 404


@pytest.mark.parametrize("finished", ["success", "none"])
def test_closed_agrees(lab: Lab, cancelling: tuple[Device, int], finished: str) -> None:
    device, action = cancelling
    assert device.say(action, "closed", finished, on="cancelAction") == 200
    assert device.offer() == ""
    assert lab.kinds(device, action)[-1] == "canceled"
    assert lab.operator.action(device.name, action)["type"] == "cancel"
    assert lab.operator.assigned(device.name) is None


def test_an_agreement_is_taken_again_although_the_action_is_over(lab: Lab, cancelling: tuple[Device, int]) -> None:
    """The end of a deployment is refused then (410): whoever may have agreed already must not do it once more."""
    device, action = cancelling
    for count in (1, 2):
        assert device.say(action, "closed", "success", on="cancelAction") == 200
        assert lab.kinds(device, action).count("canceled") == count
    assert device.say(action, "closed", "success") == 410
    assert device.offer() == ""


def test_rejected_brings_the_deployment_back(lab: Lab, cancelling: tuple[Device, int]) -> None:
    device, action = cancelling
    assert device.say(action, "rejected", "none", "too late", on="cancelAction") == 200
    assert device.offer() == f"deploymentBase/{action}"
    assert lab.kinds(device, action)[-1] == "cancel_rejected"


def test_closed_with_failure_brings_the_deployment_back(cancelling: tuple[Device, int]) -> None:
    device, action = cancelling
    assert device.say(action, "closed", "failure", on="cancelAction") == 200
    assert device.offer() == f"deploymentBase/{action}"


@pytest.mark.parametrize("execution", ["canceled", "proceeding", "scheduled", "resumed"])
def test_no_other_word_ends_the_waiting(cancelling: tuple[Device, int], execution: str) -> None:
    device, action = cancelling
    assert device.say(action, execution, "success", on="cancelAction") == 200
    assert device.offer() == f"cancelAction/{action}"


@pytest.mark.parametrize(("finished", "kind"), [("success", "finished"), ("failure", "error")])
def test_the_end_of_the_update_wins_over_the_wish(
    lab: Lab, cancelling: tuple[Device, int], finished: str, kind: str
) -> None:
    device, action = cancelling
    assert device.say(action, "closed", finished) == 200
    assert lab.kinds(device, action)[-1] == kind
    assert device.offer() == ""


def test_without_a_wish_there_is_nothing_to_answer(lab: Lab) -> None:
    device, action = lab.assigned()
    assert device.say(action, "closed", "success", on="cancelAction") == 405
    assert device.get(f"/cancelAction/{action}").status_code == 404
    assert device.offer() == f"deploymentBase/{action}"


def test_by_force_the_action_vanishes(lab: Lab, cancelling: tuple[Device, int]) -> None:
    device, action = cancelling
    lab.operator.cancel(device.name, action, force=True)
    assert device.offer() == ""
    assert device.say(action, "closed", "success") == 410


def test_force_is_only_possible_after_a_wish(lab: Lab) -> None:
    device, action = lab.assigned()
    with pytest.raises(AssertionError, match="405"):
        lab.operator.cancel(device.name, action, force=True)


def test_what_is_over_cannot_be_taken_back(lab: Lab) -> None:
    device, action = lab.assigned()
    device.say(action, "closed", "success")
    with pytest.raises(AssertionError, match="405"):
        lab.operator.cancel(device.name, action)


def test_after_an_agreement_what_was_installed_is_assigned(lab: Lab) -> None:
    device = lab.device()
    first, second = lab.bundle(), lab.bundle()
    device.say(lab.operator.assign(first, device.name), "closed", "success")
    action = lab.operator.assign(second, device.name)
    lab.operator.cancel(device.name, action)
    device.say(action, "closed", "success", on="cancelAction")
    assert (lab.operator.assigned(device.name) or {})["id"] == first
    assert lab.operator.call("GET", f"/targets/{device.name}")["updateStatus"] == "in_sync"
