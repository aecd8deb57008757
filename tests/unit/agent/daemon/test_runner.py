"""The loop: durable before it starts, patient with what may pass, honest about what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.daemon.inbox import Cancelled, Inbox, Stopped
from agent.daemon.machine import LIMITED, TRANSITIONS, Event, State
from agent.daemon.memory import Memory
from agent.daemon.record import Record, from_json
from agent.daemon.runner import Activity, Patience, Runner, Step
from agent.daemon.store import Store
from agent.errors import BundleError, EnvironmentFault


class Clock:
    """A clock that a test moves; every wait of the runner passes at once."""

    now = 100.0

    def boottime(self) -> float:
        self.now += 1.0
        return self.now

    def wall(self) -> float:
        return self.now

    def synchronised(self) -> bool:
        return False


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "state")
    yield store
    store.close()


def runner(store: Store, activity: Activity, *, attempts: int = 3, inbox: Inbox | None = None) -> Runner:
    return Runner(
        dict.fromkeys(State, activity),
        memory=Memory(store),
        boot_id="boot",
        clock=Clock(),
        inbox=inbox or Inbox(),
        patience=Patience(attempts, 1e-7),
        observe=lambda _: None,
    )


def raising(error: BaseException) -> Activity:
    def activity(_: Record) -> Step:
        raise error

    return activity


LASTING = BundleError("bundle.unsigned", "no signature")
PASSING = EnvironmentFault("net.http-status", "not now")


@pytest.mark.req("S08")
@pytest.mark.parametrize("state", [state for state in State if state is not State.IDLE])
def test_the_record_is_on_the_medium_before_the_activity_starts(store: Store, state: State) -> None:
    seen: list[Record] = []

    def look(record: Record) -> Step:
        seen.append(from_json(store.load("record") or {}))
        return Step(next(iter(TRANSITIONS[state])), record)

    runner(store, look).turn(Record(state=state, attempts=2))
    assert seen[0].state is state
    assert (seen[0].attempts, seen[0].boot_id) == (3, "boot")


FAILING = [state for state in State if Event.FAILED in TRANSITIONS[state]]


@pytest.mark.parametrize("state", FAILING)
def test_a_lasting_failure_ends_the_update_at_once_with_its_reason(store: Store, state: State) -> None:
    after = runner(store, raising(LASTING)).turn(Record(state=state))
    assert after.state is TRANSITIONS[state][Event.FAILED]
    assert (after.outcome, after.reason.code if after.reason else "") == ("failure", "bundle.unsigned")


@pytest.mark.parametrize("state", sorted(LIMITED))
def test_a_passing_failure_is_tried_again_and_then_given_up(store: Store, state: State) -> None:
    work, record = runner(store, raising(PASSING)), Record(state=state)
    record = work.turn(work.turn(record))
    assert (record.state, record.attempts) == (state, 2)
    record = work.turn(record)
    assert (record.outcome, record.reason.code if record.reason else "") == ("failure", "net.http-status")


@pytest.mark.parametrize("state", sorted(LIMITED))
def test_crashes_count_as_attempts(store: Store, state: State) -> None:
    after = runner(store, raising(AssertionError("must not run"))).turn(Record(state=state, attempts=3))
    assert after.reason is not None and after.reason.code == "update.attempts"


@pytest.mark.req("S07")
@pytest.mark.parametrize("state", [State.REVERTING, State.REPORTING])
def test_going_back_and_reporting_are_never_given_up(store: Store, state: State) -> None:
    for error in (LASTING, PASSING, ValueError("a defect")):
        after = runner(store, raising(error)).turn(Record(state=state, attempts=1))
        assert (after.state, after.outcome) == (state, "")


def test_a_defect_in_an_activity_ends_explained_and_the_loop_goes_on(store: Store) -> None:
    work, record = runner(store, raising(ZeroDivisionError("oops")), attempts=1), Record(state=State.INSPECTING)
    record = work.turn(record)
    assert record.reason is not None and record.reason.code == "internal.unexpected"
    assert "ZeroDivisionError" in record.reason.details


@pytest.mark.parametrize(("by_server", "code"), [(True, ""), (False, "update.cancelled")])
def test_a_cancellation_ends_without_a_failure(store: Store, by_server: bool, code: str) -> None:
    after = runner(store, raising(Cancelled(by_server=by_server))).turn(Record(state=State.STAGING))
    assert (after.state, after.outcome) == (State.REPORTING, "cancelled")
    assert (after.reason.code if after.reason else "") == code


def test_a_person_can_cancel_between_two_tries(store: Store) -> None:
    inbox = Inbox()
    inbox.cancel()
    after = runner(store, raising(PASSING), inbox=inbox).turn(Record(state=State.INSPECTING))
    assert after.outcome == "cancelled"


def test_a_cancellation_after_the_switch_is_left_alone(store: Store) -> None:
    inbox = Inbox()
    inbox.cancel()
    after = runner(store, lambda record: Step(Event.DONE, record), inbox=inbox).turn(Record(state=State.TRIAL))
    assert after.state is State.CONFIRMING


def test_a_slot_that_read_back_wrong_is_written_from_its_start(store: Store) -> None:
    wrong = EnvironmentFault("slot.read-back", "not what was written")
    after = runner(store, raising(wrong)).turn(Record(state=State.STAGING, checkpoints={"rootfs.img": 4096}))
    assert (after.state, dict(after.checkpoints)) == (State.STAGING, {})


def test_checkpoints_saved_by_an_activity_survive_its_failure(store: Store) -> None:
    memory = Memory(store)

    def activity(record: Record) -> Step:
        memory.save(Record(state=State.STAGING, attempts=1, checkpoints={"rootfs.img": 8 << 20}))
        raise PASSING

    work = Runner(
        dict.fromkeys(State, activity), memory=memory, boot_id="b", clock=Clock(), inbox=Inbox(),
        patience=Patience(3, 0.001), observe=lambda _: None,
    )  # fmt: skip
    assert dict(work.turn(Record(state=State.STAGING)).checkpoints) == {"rootfs.img": 8 << 20}


def test_a_stop_ends_the_loop_and_keeps_the_record(store: Store) -> None:
    def activity(_: Record) -> Step:
        raise Stopped

    memory = Memory(store)
    memory.record = Record(state=State.STAGING)
    work = Runner(
        dict.fromkeys(State, activity), memory=memory, boot_id="b", clock=Clock(), inbox=Inbox(),
        patience=Patience(3, 0.001), observe=lambda _: None,
    )  # fmt: skip
    work.run()
    assert from_json(store.load("record") or {}).state is State.STAGING


@pytest.mark.req("S09")
@pytest.mark.parametrize("code", ["net.dns", "net.connect", "net.timeout"])
def test_hours_without_a_network_cost_an_update_nothing(store: Store, code: str) -> None:
    work, record = runner(store, raising(EnvironmentFault(code, "no way out"))), Record(state=State.STAGING)
    for _ in range(20):
        record = work.turn(record)
    assert (record.state, record.outcome, record.attempts) == (State.STAGING, "", 0)
