"""What the activities do to the boot environment, and what they must not depend on when they do it."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace

import pytest
from support.pretend import FULL, Disk, Environment, Probe, context, device

from agent.daemon.activities import activities
from agent.daemon.activities.settle import Settle
from agent.daemon.inbox import Cancelled, Stopped
from agent.daemon.knowledge import Ending
from agent.daemon.machine import Event, State
from agent.daemon.record import Record
from agent.daemon.runner import Patience, Runner
from agent.daemon.slot_status import Content
from agent.errors import BundleError, EnvironmentFault
from bootloader_env.errors import BootEnvError

BROKEN = BootEnvError("bootenv.io", "the storage failed", retryable=True)
UPDATE = Record(
    state=State.STAGING, origin="local", url="/nonexistent.raucb", version="2.0.0", manifest_hash="ab" * 32,
    target="B", fallback="A",
)  # fmt: skip


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def environment() -> Environment:
    return Environment()


@pytest.mark.req("S07", "S08")
def test_the_target_cannot_boot_from_the_moment_its_content_is_touched(disk: Disk, environment: Environment) -> None:
    here = context(disk, environment)
    with pytest.raises(Exception, match="cannot be opened"):  # the bundle is missing: nothing is written in this test
        activities(here)[State.STAGING](UPDATE)
    state = environment.read()
    assert (state.primary, state.slots["B"].good, state.slots["A"].attempts) == ("A", False, 3)


@pytest.mark.req("S07")
def test_without_a_boot_environment_nothing_is_written(disk: Disk, environment: Environment) -> None:
    environment.broken = BROKEN
    started: list[str] = []
    here = context(disk, environment, spawn=started.append)
    with pytest.raises(BootEnvError):
        activities(here)[State.STAGING](UPDATE)
    assert started == []


@pytest.mark.req("S07")
@pytest.mark.parametrize("state", [State.OFFERED, State.INSPECTING, State.WAITING, State.STAGING, State.STAGED])
def test_a_boot_in_the_middle_of_an_update_gives_its_attempt_back(
    disk: Disk, environment: Environment, state: State
) -> None:
    environment.variables["BOOT_A_LEFT"] = "1"
    here = context(disk, environment)
    with suppress(BundleError):  # there is no bundle, which is not what this is about
        activities(here)[state](UPDATE)
    assert environment.read().slots["A"].attempts == 3


@pytest.mark.req("T26")
@pytest.mark.parametrize("order", [None, "", "x"])
def test_a_lost_order_is_repaired_by_an_ordinary_healthy_boot_in_one_write(
    disk: Disk, environment: Environment, order: str | None
) -> None:
    del environment.variables["BOOT_ORDER"]
    if order is not None:
        environment.variables["BOOT_ORDER"] = order
    environment.variables["BOOT_A_LEFT"] = "2"
    assert environment.read().primary == ""
    Settle(context(disk, environment))()
    assert environment.calls == [("mark_good", "A")]
    state = environment.read()
    assert [name for name in state.order if name != "x"] == ["A", "B"]
    assert (state.primary, state.slots["A"].attempts) == ("A", 3)


def test_no_installer_is_kept_for_an_update_that_is_given_up(disk: Disk, environment: Environment) -> None:
    ended: list[str] = []
    installer = SimpleNamespace(alive=lambda: True, close=lambda: ended.append("installer"))
    here = context(disk, environment, spawn=lambda _: installer)
    with here.installers.lent(keep=True):
        pass
    here.inbox.cancel()
    with pytest.raises(Cancelled):
        activities(here)[State.WAITING](UPDATE)
    assert ended == ["installer"]


def test_a_sick_boot_gives_nothing_back(disk: Disk, environment: Environment) -> None:
    environment.variables["BOOT_A_LEFT"] = "1"
    probe = Probe()
    probe.sick = True
    Settle(context(disk, environment, probe=probe))()
    assert environment.read().slots["A"].attempts == 1


def test_an_environment_that_cannot_be_written_is_tried_again_without_a_second_judgement(
    disk: Disk, environment: Environment
) -> None:
    environment.variables["BOOT_A_LEFT"] = "1"
    environment.broken = BROKEN
    probe, runs = Probe(), []
    probe.on_run = lambda: runs.append(1)
    settle = Settle(context(disk, environment, probe=probe))
    settle()
    judged = len(runs)
    environment.broken = None
    settle()
    assert (environment.read().slots["A"].attempts, len(runs)) == (3, judged)


@pytest.mark.req("S07")
def test_a_sick_system_that_cannot_write_its_state_still_goes_back(disk: Disk, environment: Environment) -> None:
    environment.activate("B", fallback="A", trial=UPDATE.trial_marker())
    disk.full = True
    resets: list[int] = []
    probe = Probe()
    probe.sick = True
    here = context(
        disk, environment, device=device(environment, "B", "boot-2"), probe=probe, reset=lambda _: resets.append(1)
    )
    here.memory.record = Record(state=State.TRIAL, target="B", fallback="A", origin="local")
    loop = Runner(
        activities(here), memory=here.memory, boot_id="boot-2", clock=here.clock, inbox=here.inbox,
        patience=Patience(3, 1.0), observe=lambda _: None,
    )  # fmt: skip
    record = loop.turn(here.memory.record)
    assert record.state is State.REVERTING
    loop.turn(record)
    assert (environment.read().primary, environment.read().trial, resets) == ("A", "", [1])


@pytest.mark.req("S07")
def test_a_healthy_system_that_cannot_write_its_state_is_not_confirmed(disk: Disk, environment: Environment) -> None:
    environment.activate("B", fallback="A", trial=UPDATE.trial_marker())
    disk.full = True
    here = context(disk, environment, device=device(environment, "B", "boot-2"))
    loop = Runner(
        activities(here), memory=here.memory, boot_id="boot-2", clock=here.clock, inbox=here.inbox,
        patience=Patience(3, 1.0), observe=lambda _: None,
    )  # fmt: skip
    record = Record(state=State.TRIAL, target="B", fallback="A", origin="local")
    for _ in range(5):
        record = loop.turn(record)
        here.memory.record = record
        if record.state is State.REVERTING:
            break
    assert record.state is State.REVERTING
    assert record.reason is not None and record.reason.code == FULL.code
    assert not any(call[0] == "confirm" for call in environment.calls)


def test_an_agent_that_is_being_stopped_gives_no_verdict(disk: Disk, environment: Environment) -> None:
    """On its way down a system looks sick: its units are stopped one after the other."""
    probe = Probe()
    here = context(disk, environment, device=device(environment, "B"), probe=probe)
    probe.sick = True

    def stop_at_the_deadline() -> None:
        here.clock.now += 100.0
        here.inbox.stop()

    probe.on_run = stop_at_the_deadline
    with pytest.raises(Stopped):
        activities(here)[State.TRIAL](Record(state=State.TRIAL, target="B", fallback="A", entered=100.0))


def test_offsets_of_a_slot_that_holds_something_else_are_forgotten_durably(
    disk: Disk, environment: Environment
) -> None:
    here = context(disk, environment)
    here.knowledge.change_holdings(lambda now: now.with_group("B", Content("confirmed", "1.0.0", "cd" * 32)))
    stale = Record(**{**{name: getattr(UPDATE, name) for name in UPDATE.__slots__}, "checkpoints": {"rootfs.img": 8}})
    with pytest.raises(Exception, match="cannot be opened"):
        activities(here)[State.STAGING](stale)
    assert disk.documents["record"]["checkpoints"] == {}


class Offering:
    """A base document with one deployment, as far as IDLE looks at it."""

    def __init__(self, action_id: str = "", cancel: str = "") -> None:
        link = type("Link", (), {"action_id": action_id, "href": "h"})
        self.deployment = link if action_id else None
        self.cancel = type("Link", (), {"action_id": cancel}) if cancel else None
        self.confirmation = None


def test_an_action_that_ended_here_again_and_again_is_not_taken_up_at_once(
    disk: Disk, environment: Environment
) -> None:
    here = context(disk, environment)
    office = here.server
    office.on_poll = lambda: Offering("7")

    def seconds_until_taken(repeats: int) -> float:
        began = here.clock.now
        here.knowledge.set_ending(Ending("failure", finished=int(here.clock.wall()), action_id="7", repeats=repeats))
        office.plan.next_poll = 0.0

        def poll() -> Offering:
            office.plan.next_poll = here.clock.now + 30.0
            return Offering("7")

        office.on_poll = poll
        assert activities(here)[State.IDLE](Record()).event is Event.OFFERED
        return here.clock.now - began

    assert seconds_until_taken(0) < 30, "ids are used again: once may be a new action"
    assert 100 < seconds_until_taken(1) < 200
    assert 400 < seconds_until_taken(3) < 700
    assert seconds_until_taken(60) < 90_000


def test_a_cancellation_that_stays_on_offer_is_not_answered_in_a_hurry(disk: Disk, environment: Environment) -> None:
    here = context(disk, environment)
    office = here.server

    def poll() -> Offering:
        office.plan.next_poll = here.clock.now + 300.0
        if office.polls > 6:
            here.inbox.stop()
        return Offering(cancel="9")

    office.on_poll = poll
    began = here.clock.now
    with pytest.raises(Stopped):
        activities(here)[State.IDLE](Record())
    assert here.clock.now - began > 4 * 300


def test_a_cancellation_that_came_too_late_does_not_make_retries_hurry(disk: Disk, environment: Environment) -> None:
    here = context(disk, environment)
    here.inbox.cancel()
    environment.broken = BROKEN
    loop = Runner(
        activities(here), memory=here.memory, boot_id="boot-1", clock=here.clock, inbox=here.inbox,
        patience=Patience(3, 2.0), observe=lambda _: None,
    )  # fmt: skip
    began = here.clock.now
    loop.turn(Record(state=State.REVERTING, target="B", fallback="A"))
    assert here.clock.now - began >= 2.0


@pytest.mark.req("S07")
@pytest.mark.parametrize("failing", [True, False])
def test_a_reset_that_fails_leaves_the_reverting_state_and_is_tried_again(
    disk: Disk, environment: Environment, failing: bool
) -> None:
    def reset(_: str) -> None:
        if failing:
            raise EnvironmentFault("reboot.failed", "the command is missing")

    here = context(disk, environment, device=device(environment, "B"), reset=reset)
    loop = Runner(
        activities(here), memory=here.memory, boot_id="boot-1", clock=here.clock, inbox=here.inbox,
        patience=Patience(3, 1.0), observe=lambda _: None,
    )  # fmt: skip
    record = Record(state=State.REVERTING, target="B", fallback="A")
    for _ in range(10):
        record = loop.turn(record)
    assert (record.state, record.attempts, environment.read().primary) == (State.REVERTING, 10, "A")
