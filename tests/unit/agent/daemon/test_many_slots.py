"""More than two slots, and a rescue system: who is behind whom."""

from __future__ import annotations

import pytest
from support.pretend import Disk, Environment, context, device

from agent.daemon.activities import activities
from agent.daemon.activities.settle import Settle
from agent.daemon.machine import Event, State
from agent.daemon.memory import from_marker
from agent.daemon.record import Record

UPDATE = Record(
    state=State.ACTIVATING, origin="local", version="2.0.0", manifest_hash="ab" * 32, target="A", fallback="C"
)


def run(state: State, environment: Environment, booted: str, bootnames: str = "ABC", rescue: str = "") -> Record:
    """Runs one activity on the update to slot A, and returns the record after it."""
    here = context(Disk(), environment, device=device(environment, booted, bootnames=bootnames, rescue=rescue))
    step = activities(here)[state](UPDATE)
    assert step.event is Event.DONE
    return step.record


@pytest.mark.req("S02")
def test_the_new_system_of_three_comes_first_and_the_running_one_next() -> None:
    environment = Environment("ABC")
    run(State.ACTIVATING, environment, booted="C")
    assert environment.read().order == ("A", "C", "B")


@pytest.mark.req("S02", "S07")
def test_the_fallback_is_the_system_that_runs_when_the_switch_is_made() -> None:
    """The one that ran when the update began may have died in between."""
    environment = Environment("ABC")
    environment.variables["BOOT_C_LEFT"] = "0"
    record = run(State.ACTIVATING, environment, booted="B")
    assert record.fallback == "B"
    assert environment.read().order[:2] == ("A", "B")
    assert environment.read().slots["C"].attempts == 0


@pytest.mark.req("S07")
def test_after_two_dead_systems_the_third_becomes_the_choice_and_the_reason_names_it() -> None:
    environment = Environment("ABC")
    environment.activate("A", fallback="C", trial=UPDATE.trial_marker())
    record = run(State.REVERTING, environment, booted="B")
    state = environment.read()
    assert (state.primary, state.trial, state.slots["A"].good) == ("B", "", False)
    assert record.reason is not None
    assert "slot A used up its boot attempts, slot B runs" in record.reason.details.splitlines()


@pytest.mark.req("S02", "S07")
def test_an_update_by_the_rescue_system_never_puts_that_into_the_order() -> None:
    environment = Environment("AB", rescue="R")
    environment.variables |= {"BOOT_A_LEFT": "0", "BOOT_B_LEFT": "0"}
    assert run(State.ACTIVATING, environment, "R", "AB", "R").fallback == "R"
    assert environment.variables["BOOT_ORDER"] == "A B"
    assert (environment.variables["BOOT_A_LEFT"], environment.variables["BOOT_B_LEFT"]) == ("3", "0")
    run(State.REVERTING, environment, "R", "AB", "R")
    assert (environment.variables["BOOT_ORDER"], environment.read().primary) == ("B", "")
    assert "BOOT_R_LEFT" not in environment.variables


def test_a_boot_of_the_rescue_system_is_no_reason_to_write() -> None:
    environment = Environment("AB", rescue="R")
    environment.variables |= {"BOOT_ORDER": "X", "BOOT_A_LEFT": "0"}
    before = dict(environment.variables)
    Settle(context(Disk(), environment, device=device(environment, "R", bootnames="AB", rescue="R")))()
    assert environment.variables == before


@pytest.mark.parametrize(
    ("booted", "order", "others"),
    [("A", ("C", "A", "B"), ("C", "B", "R")), ("B", (), ("A", "C", "R")), ("R", ("B", "C"), ("B", "C", "A"))],
)
def test_the_likeliest_fallback_is_the_next_in_the_order_and_the_rescue_system_the_last(
    booted: str, order: tuple[str, ...], others: tuple[str, ...]
) -> None:
    here = device(Environment("ABC"), booted, bootnames="ABC", rescue="R")
    assert here.fallbacks(order) == others


def test_without_a_record_the_marker_and_the_order_tell_what_was_under_way() -> None:
    here = device(Environment("ABC"), "A", bootnames="ABC", rescue="R")
    record = from_marker("A,7,abc", "A", here.fallbacks(("A", "C", "B")))
    assert (record.state, record.target, record.fallback) == (State.TRIAL, "A", "C")
