"""A device that rests after its update has told the truth, once; each way to have not done so is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from torture.environment import Environment
from torture.judge import Documents, Found
from torture.rest import Heard, Lived, resting, wrong
from torture.story import Story

STORY = Story(
    board="uboot-fat", scenario="healthy", format="uboot", drives=(), copies=(), slots={"A": "rootfs-a", "B": "rootfs-b"},
    old="A", new="B", image=1, whole={}, state="ota", floor="1.5.0", outcome="",
)  # fmt: skip
GOOD = Heard("FINISHED", ["FINISHED"])
FAILED = Heard("ERROR", ["ERROR"], "no power")


def found(running: str = "B", outcome: str = "success", *, other: str = "old", **variables: str) -> Found:
    shown = {"BOOT_ORDER": f"{running} A".replace("A A", "A"), "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3", **variables}
    environment = Environment(shown, (True, True), ("B", "A"))
    documents = {"record": {"state": "idle"}, "ending": {"outcome": outcome}, "outbox": {"entries": []}}
    return Found(environment, {"A": other, "B": "new"}, Documents(documents))


def broken(of: Found, heard: Heard = GOOD, running: str = "B", **lived: int) -> list[str]:
    return wrong(of, STORY, heard, Lived(**lived), running=running)


def test_a_finished_update_and_one_that_was_cut_too_often_are_well():
    assert broken(found()) == []
    assert broken(found("A", "failure"), FAILED, "A", trials=3) == []


@pytest.mark.parametrize(
    ("of", "heard", "running", "says"),
    [
        (found(), Heard("FINISHED", ["FINISHED", "FINISHED"]), "B", "the server has heard"),
        (found(), Heard("RUNNING", []), "B", "the server has heard"),
        (found(), FAILED, "B", "the server takes the action for ERROR, but slot B runs"),
        (found("A"), GOOD, "A", "the server takes the action for FINISHED, but slot A runs"),
        (found(outcome="failure"), GOOD, "B", "the device remembers failure"),
        (found(BOOT_ORDER="A B"), GOOD, "B", "slot B runs, but the order is"),
        (found(OTA_TRIAL="A,1,abc"), GOOD, "B", "something is on trial"),
        (found(other=""), GOOD, "B", "slot A would be booted, but is half-written"),
    ],
)
@pytest.mark.req("S08")
def test_what_is_not_well_is_named(of, heard, running, says):
    assert any(each.startswith(says) for each in broken(of, heard, running)), broken(of, heard, running)


def test_a_healthy_update_must_not_fail_because_of_two_power_cuts_on_trial_and_says_why_it_did():
    (problem,) = broken(found("A", "failure"), FAILED, "A", trials=2)
    assert problem == "a healthy update ended as ERROR: Lived(trials=2, repeated=0, proven=0), no power"


def test_an_update_may_be_given_up_when_a_step_of_it_was_cut_twelve_times():
    assert broken(found("A", "failure"), FAILED, "A", repeated=12) == []
    assert len(broken(found("A", "failure"), FAILED, "A", repeated=11)) == 1


def test_a_bootloader_may_leave_a_confirmed_system_when_its_three_boots_were_cut_too_and_its_floor_stays():
    raised = found("A", "failure")
    values = {**raised.documents.values, "facts": {"floor": STORY.floor}}
    raised = replace(raised, documents=Documents(values))
    assert broken(raised, FAILED, "A", proven=4) == []
    assert any("floor" in each for each in broken(raised, FAILED, "A", proven=3))


def test_a_device_rests_when_nothing_waits_and_its_attempts_are_back():
    assert resting(found(), STORY, "B")
    assert not resting(found(BOOT_B_LEFT="2"), STORY, "B")
    assert not resting(found(OTA_TRIAL="B,1,abc"), STORY, "B")
    busy = found()
    values = {**busy.documents.values, "outbox": {"entries": [{}]}}
    assert not resting(replace(busy, documents=Documents(values)), STORY, "B")
    values = {**busy.documents.values, "record": {"state": "reporting"}}
    assert not resting(replace(busy, documents=Documents(values)), STORY, "B")
