"""Rollouts in groups: who comes first, and what the thresholds do."""

from __future__ import annotations

import uuid

import pytest
from support.management import until

from hawkbit.lab import Device, Lab

NEXT = {"action": "NEXTGROUP", "expression": ""}
PAUSE = {"action": "PAUSE", "expression": ""}


def threshold(percent: int) -> dict[str, str]:
    return {"condition": "THRESHOLD", "expression": str(percent)}


class Staged:
    """Four devices in two groups of two, by the order in which they were made."""

    def __init__(self, lab: Lab, **first: object) -> None:
        self.lab, self.operator = lab, lab.operator
        prefix = f"fleet-{uuid.uuid4().hex[:8]}"
        self.devices = []
        for number in range(4):
            lab.operator.target(f"{prefix}-{number}", token=f"token-of-{prefix}-{number}")
            self.devices.append(lab.known(f"{prefix}-{number}"))
        self.bundle = lab.bundle()
        groups = [{"name": "canary", "targetPercentage": 50, **first}, {"name": "all", "targetPercentage": self.rest}]
        self.id = lab.operator.rollout(
            prefix,
            self.bundle,
            f"id=={prefix}-*",
            groups,
            type="forced",
            successCondition=threshold(100),
            successAction=NEXT,
            errorCondition=threshold(0),
            errorAction=PAUSE,
        )
        self.becomes("ready")

    @property
    def rest(self) -> int:
        """The share of the last group: of all devices, or before 0.5.0 of those that are left."""
        return 50 if "group-percent-of-all" in self.lab.instance.features else 100

    def becomes(self, status: str) -> None:
        until(f"rollout {status}", lambda: self.operator.rollout_status(self.id)["status"] == status)

    def offered(self) -> list[Device]:
        return [device for device in self.devices if device.offer().startswith("deploymentBase")]

    def until_offered(self, count: int) -> list[Device]:
        until(f"{count} devices have work", lambda: len(self.offered()) == count, every=0.3)
        return self.offered()


def say(devices: list[Device], finished: str) -> None:
    for device in devices:
        action = int(device.offer().rpartition("/")[2])
        assert device.say(action, "closed", finished) == 200


@pytest.fixture
def staged(lab: Lab) -> Staged:
    return Staged(lab)


@pytest.mark.feature("management", "rollouts")
def test_nothing_is_offered_before_the_start(staged: Staged) -> None:
    assert staged.offered() == []


@pytest.mark.feature("management", "rollouts")
def test_only_the_first_group_begins(staged: Staged) -> None:
    staged.operator.start(staged.id)
    staged.becomes("running")
    assert len(staged.until_offered(2)) == 2
    assert [group["status"] for group in staged.operator.groups(staged.id)] == ["running", "scheduled"]


@pytest.mark.feature("management", "rollouts")
def test_a_success_of_the_first_group_starts_the_second_and_then_it_is_finished(staged: Staged) -> None:
    staged.operator.start(staged.id)
    first = staged.until_offered(2)
    say(first[:1], "success")
    say(first[1:], "success")
    say(staged.until_offered(2), "success")
    staged.becomes("finished")
    totals = staged.operator.rollout_status(staged.id)["totalTargetsPerStatus"]
    assert totals["finished"] == 4
    assert {(staged.operator.installed(device.name) or {})["id"] for device in staged.devices} == {staged.bundle}


@pytest.mark.feature("management", "rollouts")
def test_a_failure_beyond_the_threshold_pauses_before_the_second_group(staged: Staged) -> None:
    staged.operator.start(staged.id)
    say(staged.until_offered(2), "failure")
    staged.becomes("paused")
    assert staged.offered() == []
    groups = staged.operator.groups(staged.id)
    assert [group["status"] for group in groups] == ["error", "scheduled"]
    assert staged.operator.rollout_status(staged.id)["totalTargetsPerStatus"]["error"] == 2


@pytest.mark.feature("management", "rollouts")
def test_a_paused_rollout_goes_on_when_the_operator_says_so(staged: Staged) -> None:
    staged.operator.start(staged.id)
    say(staged.until_offered(2), "failure")
    staged.becomes("paused")
    staged.operator.resume(staged.id)
    assert len(staged.until_offered(2)) == 2


@pytest.mark.feature("management", "rollouts", "next-group")
def test_the_next_group_can_be_started_by_hand(staged: Staged) -> None:
    staged.operator.start(staged.id)
    staged.until_offered(2)
    staged.operator.next_group(staged.id)
    assert len(staged.until_offered(4)) == 4


@pytest.mark.feature("management", "rollouts", "pause-after-success")
def test_a_group_may_pause_after_its_success(lab: Lab) -> None:
    staged = Staged(lab, successAction=PAUSE, successCondition=threshold(100))
    staged.operator.start(staged.id)
    say(staged.until_offered(2), "success")
    staged.becomes("paused")
    assert staged.offered() == []
