"""Feedback on its way: one refusal does not hold up the rest, and nothing vanishes without a trace."""

from __future__ import annotations

import json
import logging

import pytest
from support.desk import BASE, Desk
from support.pretend import FULL, Clock, Disk

from agent.daemon.delivery import Delivery
from agent.errors import EnvironmentFault, OtaError
from agent.hawkbit.feedback import Feedback, failure, proceeding, success
from agent.hawkbit.outbox import MAX_OWED, PATIENCE


def delivery(desk: Desk, disk: Disk, clock: Clock | None = None) -> Delivery:
    return Delivery(BASE, desk, disk, clock or Clock())  # type: ignore[arg-type]  # the same interfaces


def said(desk: Desk, disk: Disk, *messages: Feedback) -> Delivery:
    found = delivery(desk, disk)
    for message in messages:
        found.say(message)
    return found


def poll(one: Delivery, desk: Desk) -> None:
    """What a poll does with the outbox, when the rest of it works."""
    one.flush(desk)
    one.insist(desk)


@pytest.mark.req("S08")
def test_a_lost_response_is_made_good_by_the_server_that_knows_it_already() -> None:
    desk, disk = Desk(), Disk()
    one = said(desk, disk, success("1", "runs"))
    desk.faults = ["lost"]
    assert one.deliver() is False
    assert one.deliver() is True
    assert desk.entries == {"1": [("closed", ("runs",))]}


@pytest.mark.req("S08")
@pytest.mark.parametrize("status", [403, 409, 500])
def test_an_action_that_is_refused_does_not_hold_up_another_ones_verdict(status: int) -> None:
    desk, disk = Desk(), Disk()
    desk.refuses = lambda action, _: status if action == "1" else 0
    one = said(desk, disk, proceeding("1", "a"), failure("1", "b"), proceeding("2", "c"), success("2", "d"))
    with pytest.raises(EnvironmentFault) as caught:
        one.flush(desk)
    assert caught.value.code == "ddi.feedback-deferred"
    assert desk.words("2") == ["c", "d"]
    assert desk.words("1") == []


@pytest.mark.parametrize("status", [401, 429, 502, 503])
def test_a_server_that_takes_nothing_is_asked_once(status: int) -> None:
    desk, disk = Desk(), Disk()
    one = said(desk, disk, failure("1"), success("2"))
    desk.faults = [status, status]
    with pytest.raises(OtaError) as caught:
        one.flush(desk)
    assert str(status) in caught.value.details
    assert desk.requests == 1


@pytest.mark.req("S08")
def test_a_server_that_owes_too_many_answers_gives_no_work_until_it_takes_them() -> None:
    desk, disk = Desk(), Disk()
    desk.refuses = lambda *_: 500
    one = said(desk, disk, *(failure(str(number)) for number in range(MAX_OWED + 1)))
    for _ in range(PATIENCE + 1):
        with pytest.raises(EnvironmentFault) as caught:
            poll(one, desk)
        assert caught.value.code == "ddi.feedback-deferred"
    desk.refuses = lambda *_: 0
    poll(one, desk)
    assert len(desk.entries) == MAX_OWED + 1


@pytest.mark.req("S08")
def test_a_verdict_that_is_never_taken_stops_blocking_polls_and_is_still_tried() -> None:
    desk, disk = Desk(), Disk()
    desk.refuses = lambda *_: 500
    one = said(desk, disk, failure("1", "why"))
    for _ in range(PATIENCE - 1):
        with pytest.raises(EnvironmentFault):
            poll(one, desk)
    poll(one, desk)
    before = desk.requests
    poll(one, desk)
    assert desk.requests == before + 1
    assert one.owed == {"1"}, "so its action is not begun anew"
    desk.refuses = lambda *_: 0
    poll(one, desk)
    assert desk.words("1") == ["why"]
    assert not one.owed


def test_a_message_that_is_never_taken_is_given_up_for_the_verdict_behind_it() -> None:
    desk, disk = Desk(), Disk()
    desk.refuses = lambda _, body: 500 if body["status"]["execution"] == "proceeding" else 0
    one = said(desk, disk, proceeding("1", "odd"), failure("1", "why"))
    for _ in range(PATIENCE - 1):
        with pytest.raises(EnvironmentFault):
            one.flush(desk)
    one.flush(desk)
    assert desk.words("1") == []
    poll(one, desk)
    assert desk.words("1") == ["why"]


def test_a_verdict_that_is_stuck_costs_no_more_writes() -> None:
    desk, disk = Desk(), Disk()
    desk.refuses = lambda *_: 409
    one = said(desk, disk, failure("1", "why"))
    for _ in range(PATIENCE - 1):
        with pytest.raises(EnvironmentFault):
            one.flush(desk)
    poll(one, desk)
    disk.full = True
    poll(one, desk)


@pytest.mark.req("S08")
def test_a_verdict_refused_as_malformed_is_told_to_people_and_outlasts_a_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk, disk = Desk(), Disk()
    desk.refuses = lambda *_: 400
    one = said(desk, disk, failure("7", "why", code=5))
    with caplog.at_level(logging.ERROR):
        poll(one, desk)
    assert [("code" in body["status"]) for body in desk.bodies] == [True, False]
    assert "action 7" in caplog.text
    for each in (one, delivery(desk, disk)):
        assert each.problem is not None
        assert (each.problem.code, each.problem.retryable) == ("ddi.feedback-refused", False)
        assert "action 7, deployment failure: HTTP status 400" in each.problem.details
    desk.refuses = lambda *_: 0
    again = said(desk, disk, success("8"))
    poll(again, desk)
    assert again.problem is None


def test_a_used_up_quota_leaves_the_verdict() -> None:
    desk, disk = Desk(quota=3), Disk()
    one = delivery(desk, disk)
    for number in range(9):
        one.say(proceeding("1", f"{number}"))
    one.say(failure("1", "why"))
    poll(one, desk)
    assert desk.words("1") == ["0", "1", "2", "why"]


def test_a_network_that_is_down_costs_no_write() -> None:
    desk, disk = Desk(), Disk()
    one = said(desk, disk, failure("1"))
    disk.full = True
    desk.faults = ["down"] * 3
    for _ in range(3):
        assert one.deliver() is False


@pytest.mark.req("S08")
def test_the_verdicts_of_a_damaged_outbox_are_sent_and_it_is_put_aside(caplog: pytest.LogCaptureFixture) -> None:
    desk, disk = Desk(), Disk()
    said(desk, disk, proceeding("1", "a"), failure("1", "why"), success("2", "runs"))
    whole = disk.read("outbox") or b""
    disk.damaged["outbox"] = broken = whole.replace(b'"why"', b'"why')
    one = delivery(desk, disk)
    assert disk.aside == {"outbox": broken}
    assert "ddi.outbox-unreadable" in caplog.text
    assert one.deliver() is True
    assert desk.words("2") == ["runs"]
    assert delivery(desk, disk).deliver() is True
    assert desk.requests == 1


def test_a_damaged_outbox_on_a_full_medium_does_not_stop_the_daemon() -> None:
    desk, disk = Desk(), Disk()
    disk.damaged["outbox"] = b"\xff"
    disk.full = True
    one = delivery(desk, disk)
    assert one.deliver() is True
    with pytest.raises(EnvironmentFault) as caught:
        one.say(success("1"))
    assert caught.value is FULL


def test_a_medium_that_gives_nothing_does_not_stop_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, disk = Desk(), Disk()

    def unreadable(name: str) -> bytes:
        raise EnvironmentFault("state.unreadable", f"{name}: input/output error")

    monkeypatch.setattr(disk, "read", unreadable)
    assert delivery(desk, disk).deliver() is True


class Jumping(Clock):
    """A clock that a test sets."""

    def __init__(self, date: float = 1_800_000_000.0, *, believed: bool = True) -> None:
        super().__init__()
        self.ahead = date - self.now
        self.believed = believed

    def wall(self) -> float:
        return self.now + self.ahead

    def synchronised(self) -> bool:
        return self.believed


@pytest.mark.parametrize(
    ("date", "believed", "told"),
    [
        (1_800_000_000.0, True, 1_800_000_000_000),
        (1_800_000_000.0, False, None),
        (12.0, True, None),  # 1970: no battery, and a time daemon that vouches for it
        (4_294_967_295.0, True, None),  # 2106: 32 bits that overflowed
        (-5.0, True, None),
    ],
)
def test_only_a_date_that_can_be_true_is_told(date: float, believed: bool, told: int | None) -> None:
    desk = Desk()
    one = delivery(desk, Disk(), Jumping(date, believed=believed))
    one.say(success("1"))
    one.deliver()
    assert desk.bodies[0].get("timestamp") == told


@pytest.mark.parametrize("jump", [-1_700_000_000.0, 2_400_000_000.0, -60.0, 60.0])
def test_after_a_jump_of_the_clock_the_server_uses_its_own(jump: float) -> None:
    desk, clock = Desk(), Jumping()
    one = delivery(desk, Disk(), clock)
    one.say(success("1"))
    clock.ahead += jump
    clock.now += 3600
    one.deliver()
    assert "timestamp" not in desk.bodies[0]


def test_what_happened_long_ago_keeps_its_time_while_the_clock_runs_evenly() -> None:
    desk, disk, clock = Desk(), Disk(), Jumping()
    delivery(desk, disk, clock).say(success("1"))
    clock.now += 3 * 86400
    clock.ahead += 0.5  # a time daemon at work
    delivery(desk, disk, clock).deliver()
    assert desk.bodies[0]["timestamp"] == 1_800_000_000_000


def test_after_another_boot_the_server_uses_its_own_clock() -> None:
    desk, disk, clock = Desk(), Disk(), Jumping()
    delivery(desk, disk, clock).say(success("1"))
    later = Jumping(1_800_000_900.0)
    later.now, later.ahead = 5.0, 1_800_000_895.0
    delivery(desk, disk, later).deliver()
    assert "timestamp" not in desk.bodies[0]
    assert json.dumps(desk.bodies[0])
