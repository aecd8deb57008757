"""Whom a flood of calls turns away, and whom it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.bus.sieve import CROWD, QUIET, ROOM, SHARE, Sieve


class Loop:
    """A main loop that comes to what waits for it when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.behind: list[Callable[[], bool]] = []
        self.sieve = Sieve(self.behind.append, lambda: self.now)

    def catch_up(self) -> None:
        while self.behind:
            assert self.behind.pop(0)() is False, "it is called once"

    def passed(self, sender: str, calls: int) -> int:
        return sum(self.sieve.lets(sender) for _ in range(calls))


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_whoever_waits_for_answers_is_never_turned_away(loop):
    for _ in range(500):
        assert loop.passed("client", 10) == 10
        loop.catch_up()


@pytest.mark.req("T25")
def test_a_flood_is_turned_away_and_others_are_not(loop):
    assert loop.passed("flood", 10_000) == CROWD
    assert loop.passed("client", SHARE) == SHARE


def test_a_flood_that_goes_on_stays_away_although_the_main_loop_has_caught_up(loop):
    loop.passed("flood", 1000)
    loop.catch_up()
    for _ in range(20):
        assert loop.passed("flood", 10) == 0
        loop.now += QUIET / 2
    loop.now += QUIET
    assert loop.passed("flood", 10) == 10, "it was quiet for a while"


def test_many_together_cannot_make_more_wait_than_there_is_room_for(loop):
    passed = sum(loop.passed(f"flood {number}", 100) for number in range(200))
    assert passed == ROOM
    assert not loop.sieve.lets("client"), "the price of a bounded memory"
    loop.catch_up()
    assert loop.passed("client", 10) == 10, "it is forgotten at once"


def test_who_floods_from_ever_new_connections_leaves_nothing_behind(loop):
    for number in range(2000):
        loop.passed(f"many {number}", CROWD)
        loop.passed(f"flood {number}", SHARE + 1)
        loop.catch_up()
        loop.now += QUIET / 10
    assert len(loop.sieve._away) < 2 * CROWD


def test_what_was_refused_is_counted(loop):
    loop.passed("flood", CROWD + 50)
    assert loop.sieve.refused == 50
