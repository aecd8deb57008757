"""What is told about the device, and when."""

from __future__ import annotations

import pytest

from agent.daemon.machine import State
from agent.demo import news
from agent.demo.news import Event, News, passed
from agent.demo.server import DevServer


@pytest.mark.parametrize(
    ("before", "now", "outcome", "between"),
    [
        ("", "offered", "", ()),
        ("idle", "staging", "", ("offered", "inspecting")),
        ("staged", "rebooting", "", ("activating",)),
        ("trial", "reporting", "success", ("confirming",)),
        ("trial", "reporting", "failure", ()),
        ("trial", "reverting", "", ()),
        ("inspecting", "reporting", "failure", ()),
        ("reporting", "idle", "", ()),
        ("waiting", "staging", "", ()),
    ],
)
def test_states_that_were_too_short_to_be_seen_are_told_when_there_was_only_one_way(
    before: str, now: str, outcome: str, between: tuple[str, ...]
) -> None:
    assert passed(before, now, outcome) == between


def test_only_states_of_the_machine_are_spoken_of() -> None:
    assert set(news._STATES) | {"idle", "waiting"} == {state.value for state in State}


def test_each_thing_is_told_once() -> None:
    told: list[Event] = []
    with DevServer() as server:
        server.add_target("device")
        source = News(told.append)
        record = {"state": "trial", "version": "1.1.0", "target": "B", "fallback": "A", "outcome": ""}
        for _ in range(3):
            source.look(record, server)

    trials = [event for event in told if "on trial" in event.text]
    assert len(trials) == 1
    assert "1.1.0" in trials[0].text
