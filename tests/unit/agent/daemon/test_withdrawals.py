"""Taken back, vanished, too late: what is said, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.offers import Action, Hawkbit
from support.pretend import Clock, Disk, Environment, Patient, Probe, context, device

from agent.daemon.activities import activities
from agent.daemon.activities.report import last_word, reporting
from agent.daemon.activities.watch import Watch, answer_cancel
from agent.daemon.context import Context
from agent.daemon.inbox import Cancelled, Stopped
from agent.daemon.knowledge import Ending
from agent.daemon.machine import Event, State
from agent.daemon.record import Reason, Record
from agent.daemon.runner import Patience, Runner
from agent.daemon.slot_status import Content, Holdings
from agent.errors import EnvironmentFault

OURS = Record(state=State.STAGING, origin="server", action_id="7", version="2.0.0", target="B", fallback="A")


HASH = "ab" * 32


def held_by(now: Holdings, action_id: str, state: str) -> Holdings:
    """Slot A, which runs, is the work of an action."""
    status = replace(now.slot("rootfs.0"), installed_transaction=f"{action_id} {HASH}")
    return now.with_group("A", Content(state, "2.0.0", HASH)).with_slots({"rootfs.0": status})


class Stage:
    """A device and a hawkBit with action 7."""

    def __init__(self, booted: str = "A", **more: object) -> None:
        self.clock = Clock()
        self.hawkbit = Hawkbit(self.clock)
        self.hawkbit.assign(Action("7"))
        environment = Environment()
        self.here: Context = context(
            Disk(), environment, server=self.hawkbit, clock=self.clock, inbox=Patient(self.clock),
            device=device(environment, booted), **more,
        )  # fmt: skip

    def ask(self) -> object:
        return Watch(self.here, OURS).ask()

    @property
    def said(self) -> list[tuple[str, str, str]]:
        return [(m.kind, m.action_id, m.execution) for m in self.hawkbit.said]


@pytest.mark.parametrize(
    ("status", "vanished"), [("CANCELING", False), ("CANCELED", True), ("ERROR", True), ("WAIT_FOR_CONFIRMATION", True)]
)
def test_a_cancellation_and_a_vanishing_are_told_apart(status: str, vanished: bool) -> None:
    stage = Stage()
    stage.hawkbit.change("7", status=status)
    with pytest.raises(Cancelled) as caught:
        stage.ask()
    assert (caught.value.by_server, caught.value.vanished) == (True, vanished)


def test_a_server_that_does_not_answer_has_cancelled_nothing() -> None:
    stage = Stage()
    stage.hawkbit.down = True
    assert stage.ask() is None


def test_the_cancellation_of_an_older_action_is_answered_and_ours_goes_on() -> None:
    stage = Stage()
    stage.hawkbit.actions = {"5": Action("5", status="CANCELING"), **stage.hawkbit.actions}
    assert stage.ask() is not None
    assert stage.said == [("cancel", "5", "closed")]
    stage.ask()
    assert len(stage.said) == 1


@pytest.mark.req("S08")
@pytest.mark.parametrize(
    ("by", "state", "manifest_hash", "answer"),
    [
        ("7", "confirmed", "", "rejected"),
        ("7", "confirmed", HASH, "rejected"),
        ("7", "confirmed", "cd" * 32, "closed"),
        ("7", "activated", "", "closed"),
        ("6", "confirmed", "", "closed"),
        ("-", "confirmed", "", "closed"),
    ],
)
def test_no_cancel_is_acknowledged_for_an_update_that_is_installed(
    by: str, state: str, manifest_hash: str, answer: str
) -> None:
    stage = Stage()
    stage.here.knowledge.change_holdings(lambda now: held_by(now, by, state))
    stage.here.knowledge.set_ending(Ending("failure", action_id="8"))  # what came later does not matter
    answer_cancel(stage.here, "7", manifest_hash)
    assert stage.said == [("cancel", "7", answer)]


def test_an_action_that_was_taken_up_again_and_cancelled_is_not_given_up_while_its_system_runs() -> None:
    stage = Stage()
    stage.here.knowledge.change_holdings(lambda now: held_by(now, "7", "confirmed"))
    reporting(stage.here, Record(state=State.REPORTING, origin="server", action_id="7", outcome="cancelled"))
    assert stage.said == [("cancel", "7", "rejected")]


@pytest.mark.req("S08")
@pytest.mark.parametrize(("told", "said"), [(True, 1), (False, 0)])
def test_an_end_that_is_reported_once_more_after_a_crash_does_not_answer_the_cancellation_again(
    told: bool, said: int
) -> None:
    """Whether the earlier start had told it is not known. What the server has not heard it asks again."""
    stage = Stage()
    stage.hawkbit.change("7", status="CANCELING")
    cancelled = replace(OURS, state=State.REPORTING, outcome="cancelled", attempts=1)
    if told:
        reporting(stage.here, cancelled)
    assert reporting(stage.here, replace(cancelled, attempts=2)).event is Event.DONE
    assert len(stage.said) == said
    assert (stage.hawkbit.actions["7"].status == "CANCELING") is not told


def test_nothing_is_said_about_an_action_that_the_server_does_not_know_any_more() -> None:
    stage = Stage()
    step = reporting(stage.here, Record(state=State.REPORTING, origin="server", action_id="7", outcome="vanished"))
    assert step.event is Event.DONE
    assert stage.said == []
    assert stage.here.knowledge.ending().outcome == "vanished"


def test_each_end_has_its_word_and_its_number() -> None:
    def word(**how: str) -> tuple[str, str, int | None]:
        message = last_word(Record(origin="server", action_id="7", **how))  # type: ignore[arg-type]  # texts only
        return message.execution, message.finished, message.code

    assert word(outcome="success") == ("closed", "success", 200)
    assert word(outcome="downloaded") == ("downloaded", "success", 201)
    assert word(outcome="failure")[:2] == ("closed", "failure")


def runner(stage: Stage, error: Exception) -> Runner:
    def activity(_: Record) -> object:
        raise error

    return Runner(
        dict.fromkeys(State, activity), memory=stage.here.memory, boot_id="boot-1", clock=stage.clock,  # type: ignore[arg-type]  # it raises
        inbox=stage.here.inbox, patience=Patience(50, 300.0), observe=lambda _: None,
        watch=lambda record: Watch(stage.here, record).wait,
    )  # fmt: skip


@pytest.mark.parametrize("code", ["net.http-status", "net.timeout", "child.died"])
def test_the_server_can_cancel_in_the_pause_between_two_tries(code: str) -> None:
    stage = Stage()
    loop = runner(stage, EnvironmentFault(code, "not now"))
    record = loop.turn(OURS)
    assert record.state is State.STAGING
    stage.hawkbit.change("7", status="CANCELING")
    began = stage.clock.now
    record = loop.turn(record)
    assert (record.state, record.outcome) == (State.REPORTING, "cancelled")
    assert stage.clock.now - began <= 16, "one look at the server, not the whole pause"


def test_a_pause_asks_the_server_no_more_often_than_a_running_update_does() -> None:
    stage = Stage()
    runner(stage, EnvironmentFault("net.timeout", "not now")).turn(OURS)
    assert 15 <= stage.hawkbit.polls <= 31  # of 300 to 450 seconds


def test_a_pause_leaves_a_server_alone_that_has_just_failed() -> None:
    stage = Stage()
    stage.hawkbit.down = True
    loop = runner(stage, EnvironmentFault("net.timeout", "not now"))
    record = OURS
    for _ in range(8):
        record = loop.turn(record)
    assert stage.hawkbit.polls <= 1 + (stage.clock.now - 100) / 600, "one poll in each window of its plan"


@pytest.mark.req("S08")
def test_a_cancellation_on_trial_is_refused_once_with_the_reason_and_the_trial_goes_on() -> None:
    probe = Probe()
    stage = Stage("B", probe=probe)
    stage.hawkbit.change("7", status="CANCELING")
    probe.on_run = stage.hawkbit.poll
    record = Record(**{**{n: getattr(OURS, n) for n in OURS.__slots__}, "state": State.TRIAL, "entered": 100.0})
    assert activities(stage.here)[State.TRIAL](record).event is Event.DONE
    assert stage.said == [("cancel", "7", "rejected")]
    assert stage.hawkbit.actions["7"].status == "RUNNING"


def test_a_device_that_waits_for_a_restart_by_hand_polls_and_refuses_to_cancel() -> None:
    stage = Stage()
    stage.here.config.update.reboot = False  # type: ignore[misc]  # a namespace in tests
    stage.hawkbit.change("7", status="CANCELING")
    real = stage.hawkbit.on_poll

    def poll() -> object:
        if stage.hawkbit.polls > 5:
            stage.here.inbox.stop()
        return real()

    stage.hawkbit.on_poll = poll
    began = stage.clock.now
    record = Record(**{**{n: getattr(OURS, n) for n in OURS.__slots__}, "state": State.REBOOTING})
    with pytest.raises(Stopped):
        activities(stage.here)[State.REBOOTING](record)
    assert stage.said == [("cancel", "7", "rejected")]
    assert stage.clock.now - began > 4 * 300


def by_hand(stage: Stage, state: State, polls: int, **more: object) -> None:
    """Waits for a restart by hand in this state until the server was polled so often."""
    stage.here.config.update.reboot = False  # type: ignore[misc]  # a namespace in tests
    real = stage.hawkbit.on_poll

    def poll() -> object:
        if stage.hawkbit.polls >= polls:
            stage.here.inbox.stop()
        return real()

    stage.hawkbit.on_poll = poll
    record = replace(OURS, state=state, **more)  # type: ignore[arg-type]  # its fields
    stage.here.memory.save(record)
    with pytest.raises(Stopped):
        activities(stage.here)[state](record)


def test_a_trial_that_has_failed_is_not_said_to_decide() -> None:
    stage = Stage("B")
    stage.hawkbit.change("7", status="CANCELING")
    by_hand(stage, State.REVERTING, 3, outcome="failure", reason=Reason("health.failed", "it is sick"))
    (said,) = stage.hawkbit.said
    assert said.execution == "rejected"
    assert "failed" in said.details[0]
    assert "decides" not in said.details[0]


def test_a_check_while_a_restart_by_hand_is_awaited_is_made() -> None:
    stage = Stage()
    stage.hawkbit.plan.next_poll = 1e12
    waits = stage.here.inbox.wait

    def wait(*arguments: object) -> object:
        assert stage.clock.now < 1e9, "it was not made before the next poll of the plan"
        stage.here.inbox.check()
        return waits(1.0, *arguments[1:])  # type: ignore[arg-type]  # the bell

    stage.here.inbox.wait = wait  # type: ignore[method-assign,assignment]  # the moment is what matters
    by_hand(stage, State.REBOOTING, 2)
    assert stage.clock.now < 1000


def test_starts_of_the_daemon_while_a_restart_by_hand_is_awaited_do_not_give_the_update_up() -> None:
    stage = Stage()
    by_hand(stage, State.REBOOTING, 2, attempts=4)
    assert stage.here.memory.record.attempts == 0


def test_a_local_update_is_told_only_where_that_is_wanted_and_a_later_one_takes_its_place() -> None:
    stage = Stage()
    local = Record(state=State.REPORTING, origin="local", version="2.0.0", target="A", outcome="success")
    reporting(stage.here, local)
    stage.here.config.server.report_installed = "fw"  # type: ignore[misc]  # a namespace in tests
    reporting(stage.here, local)
    reporting(stage.here, Record(state=State.REPORTING, origin="server", action_id="7", outcome="success"))
    assert stage.hawkbit.told_installed == [("", "2.0.0"), ("fw", "2.0.0"), ("", "")]


def test_a_failed_local_update_is_not_told() -> None:
    stage = Stage()
    stage.here.config.server.report_installed = "fw"  # type: ignore[misc]  # a namespace in tests
    reporting(stage.here, Record(state=State.REPORTING, origin="local", version="2.0.0", outcome="failure"))
    assert stage.hawkbit.told_installed == []


def test_only_the_same_bundle_under_the_same_id_counts_as_a_repetition() -> None:
    stage = Stage()
    for artifact, repeats in (("a", 0), ("a", 1), ("b", 0), ("b", 1)):
        done = Record(state=State.REPORTING, origin="server", action_id="7", artifact=artifact, outcome="failure")
        reporting(stage.here, done)
        assert stage.here.knowledge.ending().repeats == repeats


def test_without_a_server_there_is_nobody_to_answer() -> None:
    stage = Stage()
    answer_cancel(SimpleNamespace(server=None), "7")  # type: ignore[arg-type]  # nothing else is looked at
    assert stage.said == []
