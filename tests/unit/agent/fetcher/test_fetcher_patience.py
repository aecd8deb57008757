"""Slow servers and broken links end, good ones get every chance."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.fetcher.patience import BARREN_ATTEMPTS, ENOUGH, LONGEST_DELAY, MEAGRE_ATTEMPTS, Attempts, Meter


@pytest.mark.req("T22")
def test_a_drip_is_too_slow_after_the_time_and_not_before() -> None:
    meter = Meter(1024, 30)
    assert [meter.count(1, 1.0) for _ in range(30)] == [False] * 29 + [True]


def test_a_rate_just_high_enough_is_never_too_slow() -> None:
    meter = Meter(1024, 30)
    assert not any(meter.count(1024, 1.0) for _ in range(1000))


@pytest.mark.req("T22")
def test_a_good_start_does_not_pay_for_a_drip_afterwards() -> None:
    meter = Meter(1024, 30)
    assert not meter.count(100_000_000, 29)
    assert any(meter.count(1, 1.0) for _ in range(62))


def test_attempts_that_bring_nothing_end_after_five() -> None:
    attempts = Attempts()
    assert [attempts.failed(0) for _ in range(BARREN_ATTEMPTS)] == [True] * (BARREN_ATTEMPTS - 1) + [False]


@pytest.mark.req("S09")
def test_attempts_that_bring_enough_go_on_for_ever() -> None:
    attempts = Attempts()
    assert all(attempts.failed(ENOUGH) for _ in range(1000))
    assert attempts.retries == 1000


@pytest.mark.req("T22")
def test_a_byte_per_connection_does_not_last_for_ever() -> None:
    attempts = Attempts()
    assert [attempts.failed(1) for _ in range(MEAGRE_ATTEMPTS)] == [True] * (MEAGRE_ATTEMPTS - 1) + [False]


@pytest.mark.req("T22")
def test_slow_attempts_count_as_nothing_whatever_they_brought() -> None:
    attempts = Attempts()
    assert [attempts.failed(ENOUGH, slow=True) for _ in range(BARREN_ATTEMPTS)][-1] is False


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 30), st.one_of(st.none(), st.floats(0, 100)))
def test_a_pause_is_bounded_and_never_shorter_than_asked(random: float, failures: int, asked: float | None) -> None:
    attempts = Attempts()
    for _ in range(failures):
        attempts.failed(0)
    delay = attempts.delay(random, asked)
    assert (asked or 0) <= delay <= max(LONGEST_DELAY, asked or 0)
