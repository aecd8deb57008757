"""The agent is killed at every durable write and at every request, the answer is lost, the medium is full: the server hears
each verdict exactly once, in order, whatever strikes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.desk import BASE, Desk
from support.pretend import Clock, Disk

from agent.daemon.delivery import Delivery
from agent.errors import EnvironmentFault
from agent.hawkbit.feedback import Feedback, failure, proceeding, success
from agent.hawkbit.outbox import PATIENCE

STORY: tuple[Feedback, ...] = (
    proceeding("1", "1a"), proceeding("1", "1b"), failure("1", "1z"), proceeding("2", "2a"), success("2", "2z"),
)  # fmt: skip


class Killed(BaseException):
    """kill -9."""


class Strikes:
    """Kills at the moments that a test names: the n-th, n-th, ... of all moments."""

    def __init__(self, *at: int) -> None:
        self.moment = 0
        self._at = set(at)

    def __call__(self) -> None:
        self.moment += 1
        if self.moment in self._at:
            raise Killed


def tell(disk: Disk, desk: Desk, polls: int = 40) -> None:
    """A device that says its story and polls; what was not said before it died is said by the next process."""
    said = 0
    for _ in range(polls):
        try:
            one = Delivery(BASE, desk, disk, Clock())  # type: ignore[arg-type]  # the same interfaces
            while said < len(STORY):
                one.say(STORY[said])
                said += 1
                one.deliver()
            one.flush(desk)
            one.insist(desk)
        except (Killed, EnvironmentFault):
            continue
        if said == len(STORY) and not disk.documents["outbox"]["entries"]:
            return
    raise AssertionError("it does not come to an end")


def strike(*at: int, faults: tuple[int | str | None, ...] = ()) -> tuple[Desk, int]:
    disk, desk, strikes = Disk(), Desk(), Strikes(*at)
    disk.strike, desk.strike, desk.faults = strikes, strikes, list(faults)
    tell(disk, desk)
    return desk, strikes.moment


def judge(desk: Desk) -> None:
    for action, lines in (("1", ["1a", "1b", "1z"]), ("2", ["2a", "2z"])):
        executions = [execution for execution, _ in desk.entries[action]]
        assert executions.count("closed") == 1
        assert executions[-1] == "closed"
        first = list(dict.fromkeys(desk.words(action)))
        assert first == lines, "in order, and nothing is missing"


MOMENTS = strike()[1]


@pytest.mark.req("S08")
@pytest.mark.parametrize("moment", range(1, MOMENTS + 1))
def test_a_kill_at_any_write_or_request_loses_nothing(moment: int) -> None:
    desk, _ = strike(moment)
    judge(desk)


@pytest.mark.req("S08")
@settings(max_examples=300, deadline=None)
@given(
    st.sets(st.integers(1, 3 * MOMENTS), max_size=8),
    # Who is refused as often as a message has patience may be left out, so there are fewer refusals than that.
    st.lists(st.sampled_from([None, None, "down", "lost", 409, 429, 500, 502, 503]), max_size=16).filter(
        lambda faults: sum(isinstance(each, int) for each in faults) < PATIENCE
    ),
)
def test_kills_and_faults_together_lose_nothing(moments: set[int], faults: list[int | str | None]) -> None:
    desk, _ = strike(*moments, faults=tuple(faults))
    judge(desk)
    assert all(len(stored) <= 100 for stored in desk.entries.values())


@pytest.mark.req("S08")
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["say", "say", "read", "kill", "lost", "poll"]), min_size=50, max_size=400),
    st.integers(0, 9),
)
def test_a_device_that_dies_again_and_again_stays_within_a_hundred_entries(events: list[str], spread: int) -> None:
    disk, desk = Disk(), Desk(quota=101)

    def dying() -> Callable[[], None]:
        return Strikes(2 + spread % 4)

    one = Delivery(BASE, desk, disk, Clock())  # type: ignore[arg-type]  # the same interfaces
    for number, event in enumerate(events):
        if event == "say":
            one.say(proceeding("1", f"{number}"))
            continue
        if event == "read":
            desk.read("1")
            continue
        desk.faults = ["lost"] if event == "lost" else []
        desk.strike = disk.strike = dying() if event == "kill" else lambda: None
        try:
            one.deliver()
        except Killed:
            one = Delivery(BASE, desk, disk, Clock())  # type: ignore[arg-type]  # the same interfaces
        desk.strike = disk.strike = lambda: None
    desk.faults = []
    assert len(desk.entries.get("1", [])) < 100
    one.say(failure("1", "last"))
    assert one.deliver() is True
    assert desk.closed("1")
