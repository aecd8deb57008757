"""The table of states: complete, closed, and without a way to be stuck or to lie."""

from __future__ import annotations

from itertools import product

import pytest

from agent.daemon.machine import CANCELLABLE, TRANSITIONS, Event, IllegalTransition, State, advance

AFTER_THE_SWITCH = {State.ACTIVATING, State.REBOOTING, State.TRIAL, State.CONFIRMING, State.REVERTING}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_is_decided_or_refused(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert advance(state, event) in State
    else:
        with pytest.raises(IllegalTransition):
            advance(state, event)


def reachable(start: State, *, without: frozenset[State] = frozenset()) -> set[State]:
    seen, todo = set(), [start]
    while todo:
        state = todo.pop()
        if state not in seen and state not in without:
            seen.add(state)
            todo.extend(TRANSITIONS[state].values())
    return seen


def test_every_state_is_reachable_from_idle() -> None:
    assert reachable(State.IDLE) == set(State)


@pytest.mark.parametrize("state", list(State))
def test_every_state_leads_back_to_idle(state: State) -> None:
    assert State.IDLE in reachable(state)


@pytest.mark.req("S07")
def test_the_switch_can_only_end_in_a_report() -> None:
    for state in AFTER_THE_SWITCH:
        assert set(TRANSITIONS[state].values()) <= AFTER_THE_SWITCH | {State.REPORTING}


@pytest.mark.req("S02")
def test_a_report_after_the_switch_is_reached_by_confirming_or_reverting_only() -> None:
    ways = {state for state in AFTER_THE_SWITCH if State.REPORTING in TRANSITIONS[state].values()}
    assert ways == {State.CONFIRMING, State.REVERTING}


@pytest.mark.req("T28")
def test_confirming_is_reached_by_a_trial_only() -> None:
    assert {state for state in State if State.CONFIRMING in TRANSITIONS[state].values()} == {State.TRIAL}


@pytest.mark.req("S35")
def test_nothing_is_written_before_the_inspection() -> None:
    assert State.STAGING not in reachable(State.IDLE, without=frozenset({State.INSPECTING}))


def test_no_cancellation_is_accepted_from_the_switch_on() -> None:
    assert not CANCELLABLE & AFTER_THE_SWITCH


def test_every_state_but_idle_can_fail_into_something_that_is_told() -> None:
    for state in set(State) - {State.IDLE, State.REVERTING, State.REPORTING}:
        assert TRANSITIONS[state][Event.FAILED] in (State.REPORTING, State.REVERTING)
