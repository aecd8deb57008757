"""An update as RAUC tells it: one begin, one Completed, percentages that never go back, and a LastError that explains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.daemon.machine import TRANSITIONS, State
from agent.rauc.installation import Installation, one_line

IDLE: dict[str, object] = {"State": "idle", "LastResult": ("", "", "", ""), "LastError": ("", "", "")}
REFUSED = {"LastResult": ("failure", "2", "policy.older", "older"), "LastError": ("policy.older", "older", "newer one")}
BEGIN = [("Operation", "installing"), ("Progress", (0, "Installing", 1))]


class Agent:
    """The agent's properties, told to an installation as they change."""

    def __init__(self, **values: object) -> None:
        self.values = {**IDLE, **values}
        self.told = Installation(self.values)

    def tells(self, **changes: object) -> list[tuple[str, object]]:
        self.values |= changes
        return [tuple(each) for each in self.told.changed(self.values, list(changes))]

    def runs(self, *states: str) -> list[tuple[str, object]]:
        return [each for state in states for each in self.tells(State=state)]


def completed(announcements: list[tuple[str, object]]) -> list[object]:
    return [value for name, value in announcements if name == "Completed"]


def test_a_success_ends_when_the_new_slot_is_chosen_and_before_the_restart() -> None:
    agent = Agent()
    assert agent.runs("offered", "inspecting", "waiting", "staging", "staged", "activating", "rebooting") == [
        *BEGIN,
        ("Progress", (5, "Checking bundle", 2)), ("Progress", (20, "Checking bundle done.", 2)),
        ("Progress", (20, "Updating slots", 2)), ("Progress", (96, "Updating slots done.", 2)),
        ("Progress", (98, "Activating slot", 2)), ("Progress", (100, "Installing done.", 1)),
        ("Completed", 0), ("Operation", "idle"),
    ]  # fmt: skip
    assert agent.told.properties() == {"Operation": "idle", "LastError": "", "Progress": (100, "Installing done.", 1)}
    assert agent.runs("trial", "confirming", "reporting", "idle") == [], "RAUC has no words for the trial"


def test_a_failure_is_explained_before_it_is_completed() -> None:
    agent = Agent()
    agent.runs("offered", "inspecting", "reporting")
    assert agent.tells(State="idle", **REFUSED) == [
        ("Progress", (100, "Installing failed.", 1)),
        ("LastError", "older [policy.older]; next: newer one"),
        ("Completed", 1), ("Operation", "idle"),
    ]  # fmt: skip


def test_a_failure_is_forgotten_when_the_next_begins() -> None:
    agent = Agent(**REFUSED)
    assert agent.told.properties()["LastError"] == "older [policy.older]; next: newer one"
    assert ("LastError", "") in agent.runs("offered")


def test_what_ends_before_it_was_seen_to_begin_is_completed_too() -> None:
    agent = Agent()
    assert [tuple(each) for each in agent.told.accepted()] == BEGIN
    agent.values |= REFUSED
    assert completed([tuple(each) for each in agent.told.finished(agent.values)]) == [1]


def test_news_of_something_else_do_not_end_what_was_accepted() -> None:
    agent = Agent()
    agent.told.accepted()
    assert agent.tells(NextCheck=5) == []
    assert agent.told.installing
    assert completed(agent.runs("offered", "inspecting", "reporting", "idle")) == [0]


def test_a_begin_is_told_once() -> None:
    agent = Agent()
    agent.runs("offered")
    assert agent.told.accepted() == []


def test_a_source_that_is_refused_ends_as_with_rauc_by_last_error_and_completed() -> None:
    agent = Agent()
    assert [tuple(each) for each in agent.told.refused("no")] == [
        *BEGIN, ("Progress", (100, "Installing failed.", 1)), ("LastError", "no"), ("Completed", 1), ("Operation", "idle"),
    ]  # fmt: skip


def test_a_second_order_that_is_refused_does_not_end_the_first() -> None:
    """Both may be with the agent at once, and the answers come in any order."""
    agent = Agent()
    agent.told.accepted()
    assert agent.told.refused("no") == []
    assert agent.told.installing


def test_what_was_only_downloaded_is_no_success() -> None:
    agent = Agent()
    agent.runs("offered", "inspecting", "waiting", "fetching", "reporting")
    ended = agent.tells(State="idle", LastResult=("downloaded", "2", "", ""))
    assert completed(ended) == [1]
    assert "not installed" in str(dict(ended)["LastError"])


def test_a_cancellation_by_the_server_has_no_text_and_still_explains_itself() -> None:
    agent = Agent()
    agent.runs("offered", "staging", "reporting")
    ended = agent.tells(State="idle", LastResult=("cancelled", "2", "", ""))
    assert dict(ended)["LastError"] == "the update was given up [update.cancelled]"


def test_the_activation_that_fails_is_completed_after_it_was_undone() -> None:
    agent = Agent()
    assert completed(agent.runs("offered", "staging", "activating", "reverting", "reporting")) == []
    assert completed(agent.tells(State="idle", **REFUSED)) == [1]


def test_a_restart_that_fails_later_changes_only_the_last_error() -> None:
    agent = Agent()
    agent.runs("offered", "staging", "activating", "rebooting")
    assert agent.runs("reverting", "reporting") == []
    assert agent.tells(State="idle", **REFUSED) == [("LastError", "older [policy.older]; next: newer one")]


def test_a_facade_that_starts_in_the_middle_tells_the_end() -> None:
    agent = Agent(State="staging", Progress=(0.5, "writing 1 MiB of 2 MiB", 1048576))
    assert agent.told.properties() == {
        "Operation": "installing",
        "LastError": "",
        "Progress": (20, "Updating slots", 2),
    }
    assert completed(agent.runs("staged", "activating", "rebooting")) == [0]


def test_an_agent_that_does_not_come_back_is_a_failure_once() -> None:
    agent = Agent()
    assert agent.told.lost() == []
    agent.runs("offered")
    assert completed([tuple(each) for each in agent.told.lost()]) == [1]
    assert agent.told.lost() == []


def test_writing_and_reading_back_are_percentages() -> None:
    agent = Agent()
    agent.runs("offered", "inspecting", "staging")
    assert agent.tells(Progress=(0.5, "writing 1 MiB of 2 MiB", 1)) == [("Progress", (52, "Updating slots", 2))]
    assert agent.tells(Progress=(0.505, "writing 1 MiB of 2 MiB", 2)) == [], "hawkBit counts the feedbacks"
    assert agent.tells(Progress=(0.5, "reading back 1 MiB of 2 MiB", 1)) == [("Progress", (90, "Updating slots", 2))]
    assert agent.tells(Progress=(0.1, "writing 1 MiB of 2 MiB", 1)) == [], "nothing goes back"


def test_the_progress_of_the_step_before_is_not_taken_for_this_one() -> None:
    agent = Agent(Progress=(1.0, "fetching 2 MiB of 2 MiB", 2))
    agent.runs("offered", "inspecting")
    assert agent.tells(State="staging", Progress=(1.0, "fetching 2 MiB of 2 MiB", 2)) == [
        ("Progress", (20, "Updating slots", 2))
    ]


def test_words_of_a_program_in_the_bundle_are_passed_on() -> None:
    agent = Agent()
    agent.runs("offered", "staging")
    assert agent.tells(Progress=(0.0, "moving settings", 0)) == [
        ("Progress", (20, "Updating slots: moving settings", 2))
    ]


def test_an_error_is_one_line() -> None:
    assert one_line("a", "b.c", "d\ne", "f\n g") == "a: f g [b.c]; next: d e"


@given(st.data())
def test_every_way_through_the_states_has_one_completed_for_each_begin(data: st.DataObject) -> None:
    agent, state, begun, ended, percents = Agent(), State.IDLE, 0, 0, [0]
    for _ in range(30):
        event = data.draw(st.sampled_from(sorted(TRANSITIONS[state])))
        state = TRANSITIONS[state][event]
        for name, value in agent.tells(State=state.value):
            begun += (name, value) == ("Operation", "installing")
            ended += name == "Completed"
            assert begun - ended in (0, 1)
            if (name, value) == ("Operation", "installing"):
                percents = [0]
            if name == "Progress":
                assert percents[-1] <= value[0] <= 100  # type: ignore[index]
                percents.append(value[0])  # type: ignore[index]
        assert agent.told.installing == (begun > ended)


@pytest.mark.parametrize("state", [state.value for state in State])
def test_every_state_of_the_agent_is_known(state: str) -> None:
    operation = Installation({**IDLE, "State": state}).properties()["Operation"]
    before_the_switch = state in (
        "offered", "held", "inspecting", "waiting", "fetching", "staging", "staged", "activating",
    )  # fmt: skip
    assert operation == ("installing" if before_the_switch else "idle")
