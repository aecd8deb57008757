"""When the next poll is due."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.hawkbit import schedule
from agent.hawkbit.schedule import Limits

LIMITS = Limits(minimum=10, maximum=3600, default=300)
randoms = st.floats(0, 1, exclude_max=True)


@settings(deadline=None)
@given(st.one_of(st.none(), st.integers(0, 10**12)), randoms)
def test_a_poll_never_leaves_the_bounds(sleep: int | None, random: float) -> None:
    assert 10 <= schedule.next_poll(LIMITS, sleep, random) <= 3600


@settings(deadline=None)
@given(randoms)
def test_the_server_interval_is_spread_by_a_tenth(random: float) -> None:
    assert 90 <= schedule.next_poll(LIMITS, 100, random) < 110.001


def test_the_default_counts_while_the_server_says_nothing() -> None:
    assert schedule.next_poll(LIMITS, None, 0.5) == 300


@settings(deadline=None)
@given(randoms)
def test_the_first_poll_comes_within_a_minute(random: float) -> None:
    assert 0 <= schedule.first_poll(LIMITS, random) < 60


@settings(deadline=None)
@given(st.integers(1, 10**6), randoms, st.one_of(st.none(), st.floats(0, 10**9)))
def test_failures_back_off_within_the_bounds(failures: int, random: float, asked: float | None) -> None:
    delay = schedule.after_failure(LIMITS, failures, random, asked)
    assert 10 <= delay <= 3600
    if asked is not None:
        assert delay >= min(asked, 3600)


def test_the_ceiling_doubles_with_every_failure() -> None:
    almost = 0.999999
    delays = [round(schedule.after_failure(LIMITS, n, almost)) for n in range(1, 11)]
    assert delays == [20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("120", "", 120.0),
        (" 0 ", "", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:29:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "", None),
        ("-5", "", None),
        ("9" * 30, "", None),
        ("soon", "Wed, 21 Oct 2026 07:29:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_against_the_servers_own_date(
    value: str, date: str, seconds: float | None
) -> None:
    assert schedule.retry_after(value, date) == seconds


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_retry_after_is_read_or_ignored(value: str, date: str) -> None:
    found = schedule.retry_after(value, date)
    assert found is None or found >= 0


@pytest.mark.parametrize("bounds", [(0, 10, 5), (10, 5, 7), (10, 20, 30), (-1, 2, 1)])
def test_impossible_bounds_are_refused(bounds: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError):
        Limits(minimum=bounds[0], maximum=bounds[1], default=bounds[2])
