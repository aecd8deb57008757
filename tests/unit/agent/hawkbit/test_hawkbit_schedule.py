"""When the next poll is due."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.hawkbit import schedule
from agent.hawkbit.schedule import BACKOFF, Failure, Limits, window

LIMITS = Limits(minimum=10, maximum=3600, default=300)
FIELD = Limits(minimum=30, maximum=86400, default=300)  # the defaults of the configuration
DAY = 86400.0
randoms = st.floats(0, 1, exclude_max=True)
failures = st.sampled_from(Failure)


@settings(deadline=None)
@given(st.one_of(st.none(), st.integers(0, 10**12)), randoms)
def test_a_poll_never_leaves_the_bounds(sleep: int | None, random: float) -> None:
    assert 10 <= schedule.next_poll(LIMITS, LIMITS.interval(sleep), random) <= 3600


@settings(deadline=None)
@given(randoms)
def test_the_interval_of_the_server_is_spread_by_a_tenth(random: float) -> None:
    assert 90 <= schedule.next_poll(LIMITS, 100, random) < 110.001


def test_the_default_counts_while_the_server_says_nothing() -> None:
    assert LIMITS.interval(None) == 300


@settings(deadline=None)
@given(st.floats(10, 3600), st.floats(0, 10**7), randoms, randoms)
def test_a_settled_device_keeps_the_interval_within_a_tenth(
    interval: float, now: float, phase: float, random: float
) -> None:
    delay = schedule.on_the_grid(LIMITS, interval, now, phase, random, settled=True)
    assert max(10, 0.89 * interval) <= delay <= min(3600, 1.11 * interval)


@settings(deadline=None)
@given(st.floats(10, 3600), st.floats(0, 10**7), randoms, randoms)
def test_a_device_that_looks_for_its_place_comes_early_and_never_late(
    interval: float, now: float, phase: float, random: float
) -> None:
    delay = schedule.on_the_grid(LIMITS, interval, now, phase, random, settled=False)
    assert 10 <= delay <= min(3600, 1.11 * interval)


@settings(deadline=None)
@given(st.floats(100, 3600), st.floats(0, 10**6), randoms, st.lists(randoms, min_size=3, max_size=20))
def test_a_device_stays_near_its_place(interval: float, now: float, phase: float, chances: list[float]) -> None:
    limits = Limits(minimum=1, maximum=DAY, default=300)
    for count, chance in enumerate(chances):
        now += schedule.on_the_grid(limits, interval, now, phase, chance, settled=count > 0)
        away = (now / interval - phase + 0.5) % 1 - 0.5
        assert abs(away) <= 0.1001


@pytest.mark.parametrize(
    ("code", "status", "failure"),
    [
        ("net.dns", None, Failure.UNREACHABLE),
        ("net.connect", None, Failure.UNREACHABLE),
        ("net.timeout", None, Failure.UNREACHABLE),
        ("net.short-body", None, Failure.UNREACHABLE),
        ("net.tls-expired", None, Failure.TLS),
        ("net.insecure", None, Failure.TLS),
        ("net.client-rejected", None, Failure.TLS),
        ("net.client-cert", None, Failure.TLS),
        ("net.bad-ca", None, Failure.TLS),
        ("net.proxy", None, Failure.UNREACHABLE),
        ("net.proxy-login", None, Failure.UNAUTHORISED),
        ("net.unauthorised", 401, Failure.UNAUTHORISED),
        ("net.unauthorised", 403, Failure.UNAUTHORISED),
        ("net.not-found", 404, Failure.UNKNOWN_TARGET),
        ("net.http-status", 429, Failure.BUSY),
        ("net.http-status", 503, Failure.BUSY),
        ("net.http-status", 500, Failure.SERVER_ERROR),
        ("net.http-status", 302, Failure.SERVER_ERROR),
        ("ddi.feedback-deferred", None, Failure.SERVER_ERROR),
        ("ddi.invalid-document", None, Failure.INVALID),
        ("config.token-missing", None, Failure.LOCAL),
        ("child.died", None, Failure.LOCAL),
    ],
)
def test_each_failure_has_its_class(code: str, status: int | None, failure: Failure) -> None:
    assert schedule.classify(code, status) is failure


def test_windows_double_up_to_the_longest_of_their_class() -> None:
    lengths = [window(FIELD, Failure.UNREACHABLE, n, 300) for n in range(1, 9)]
    assert lengths == [30, 60, 120, 240, 480, 960, 1800, 1800]
    assert [window(FIELD, Failure.UNAUTHORISED, n, 300) for n in (1, 2, 7, 8)] == [300, 600, 19200, 21600]


def test_a_rare_poller_becomes_no_frequent_one_by_failing() -> None:
    assert window(FIELD, Failure.UNREACHABLE, 99, 43200) == 43200
    assert window(FIELD, Failure.UNREACHABLE, 99, 86400) == 43200, "half of the maximum, so that two fit into it"


@settings(deadline=None)
@given(failures, st.integers(1, 10**6), st.floats(10, 3600))
def test_a_window_stays_in_the_bounds(failure: Failure, count: int, interval: float) -> None:
    assert 10 <= window(LIMITS, failure, count, interval) <= 3600


@settings(deadline=None)
@given(st.floats(10, 3600), st.floats(0, 10**7), st.floats(0, 10**9), randoms)
def test_no_failure_and_no_retry_after_silences_a_device_for_longer_than_the_maximum(
    length: float, now: float, begins: float, random: float
) -> None:
    moment, end = schedule.after_failure(LIMITS, length, now, begins, random)
    assert 9.99 <= moment - now <= 3600.01
    assert end - now <= 3600.01


@settings(deadline=None)
@given(st.floats(10, 1000), st.floats(0, 2000), randoms)
def test_what_the_server_asks_for_is_waited_for(length: float, asked: float, random: float) -> None:
    moment, _ = schedule.after_failure(LIMITS, length, 5.0, 5.0 + asked, random)
    assert moment >= 5 + min(asked, 3600 - length)


@settings(deadline=None)
@given(failures, st.floats(30, DAY), st.lists(randoms, min_size=1, max_size=50))
def test_a_day_of_failures_never_takes_more_polls_than_promised(
    failure: Failure, interval: float, chances: list[float]
) -> None:
    now, end, polls = 0.0, 0.0, 0
    while now < DAY:
        polls += 1
        length = window(FIELD, failure, polls, interval)
        now, end = schedule.after_failure(FIELD, length, now, end, chances[polls % len(chances)])
    assert polls <= schedule.most_polls(FIELD, failure, interval, DAY)


def test_the_promised_numbers_for_a_day() -> None:
    most = {failure: schedule.most_polls(FIELD, failure, 300, DAY) for failure in Failure}
    assert most == {
        Failure.UNREACHABLE: 54, Failure.LOCAL: 54, Failure.BUSY: 53, Failure.TLS: 30, Failure.SERVER_ERROR: 30,
        Failure.INVALID: 17, Failure.UNKNOWN_TARGET: 17, Failure.UNAUTHORISED: 11,
    }  # fmt: skip
    assert most.keys() == BACKOFF.keys()


@pytest.mark.parametrize("bounds", [(0, 10, 5), (10, 5, 7), (10, 20, 30), (-1, 2, 1)])
def test_impossible_bounds_are_refused(bounds: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError):
        Limits(minimum=bounds[0], maximum=bounds[1], default=bounds[2])
