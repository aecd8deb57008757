"""What a boot says about the recorded state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.daemon.knowledge import Ending
from agent.daemon.machine import TRANSITIONS, Event, State
from agent.daemon.record import Record
from agent.daemon.resume import event_after_start, lost_success

HERE, BEFORE = "boot-2", "boot-1"


def record(state: State, boot_id: str = BEFORE) -> Record:
    return Record(state=state, target="B", fallback="A", boot_id=boot_id, action_id="7", manifest_hash="ab" * 32)


MARKER = record(State.ACTIVATING).trial_marker()


@pytest.mark.parametrize(
    ("state", "recorded_in", "booted", "trial", "expected"),
    [
        (State.STAGING, BEFORE, "A", "", None),
        (State.ACTIVATING, HERE, "A", "", None),
        (State.ACTIVATING, HERE, "A", MARKER, None),
        (State.ACTIVATING, BEFORE, "A", "", None),
        (State.ACTIVATING, BEFORE, "A", MARKER, Event.BOOTED_FALLBACK),
        (State.ACTIVATING, BEFORE, "B", MARKER, Event.BOOTED_TARGET),
        (State.REBOOTING, HERE, "A", MARKER, None),
        (State.REBOOTING, BEFORE, "A", MARKER, Event.BOOTED_FALLBACK),
        (State.REBOOTING, BEFORE, "B", MARKER, Event.BOOTED_TARGET),
        (State.TRIAL, HERE, "B", MARKER, None),
        (State.TRIAL, BEFORE, "B", MARKER, None),
        (State.TRIAL, BEFORE, "A", MARKER, Event.BOOTED_FALLBACK),
        (State.CONFIRMING, BEFORE, "B", "", None),
        (State.CONFIRMING, BEFORE, "A", MARKER, Event.BOOTED_FALLBACK),
        (State.REVERTING, BEFORE, "A", "", None),
        (State.REVERTING, HERE, "B", MARKER, None),
        (State.REPORTING, BEFORE, "B", "", None),
    ],
)
@pytest.mark.req("S08", "S07")
def test_the_running_slot_answers(
    state: State, recorded_in: str, booted: str, trial: str, expected: Event | None
) -> None:
    assert event_after_start(record(state, recorded_in), boot_id=HERE, booted=booted, trial=trial) == expected


def test_every_answer_is_one_that_the_state_knows() -> None:
    for state in State:
        for recorded_in in (HERE, BEFORE):
            for booted in "AB":
                for trial in ("", MARKER, "B,9,ffff"):
                    event = event_after_start(record(state, recorded_in), boot_id=HERE, booted=booted, trial=trial)
                    assert event is None or event in TRANSITIONS[state]


CONFIRMED = Ending(outcome="success", version="2.0.0", action_id="7", target="B")


@pytest.mark.req("S08")
def test_a_success_that_was_lost_before_it_was_told_is_an_update_that_fell_back() -> None:
    record = lost_success(CONFIRMED, booted="A", others=("B",), manifest_hash="ab" * 32)
    assert record is not None
    assert (record.state, record.origin, record.action_id) == (State.REVERTING, "server", "7")
    assert (record.target, record.fallback, record.version) == ("B", "A", "2.0.0")
    assert record.manifest_hash == "ab" * 32
    assert record.outcome == ""


@pytest.mark.parametrize(
    ("ending", "booted", "others"),
    [
        (CONFIRMED, "B", ("A",)),
        (replace(CONFIRMED, outcome="failure"), "A", ("B",)),
        (replace(CONFIRMED, target=""), "A", ("B",)),
        (replace(CONFIRMED, target="C"), "A", ("B",)),
        (Ending(), "A", ("B",)),
    ],
    ids=["it runs", "it failed", "written by an older agent", "a slot that is gone", "no update yet"],
)
def test_any_other_ending_stays_as_it_is(ending: Ending, booted: str, others: tuple[str, ...]) -> None:
    assert lost_success(ending, booted=booted, others=others, manifest_hash="") is None
