"""A limit is kept evenly, and what a transfer costs is reported neither too often nor too late."""

from __future__ import annotations

import pytest

from agent.fetcher.pace import SMOOTH, Account, Pace


def spent_on(pace: Pace, size: int, *, each: int, read: float = 0.0) -> float:
    """Seconds that reading ``size`` bytes takes when a read of ``each`` bytes takes ``read`` seconds."""
    now = 100.0
    for _ in range(size // each):
        now += read
        now += pace.wait(each, now)
    return now - 100.0


@pytest.mark.parametrize("rate", [1000, 1_000_000])
def test_a_fast_network_is_slowed_down_to_the_rate(rate: int) -> None:
    pace = Pace(rate)
    assert spent_on(pace, 10 * rate, each=pace.portion(10**9)) == pytest.approx(10, abs=2 * SMOOTH)


def test_a_network_that_is_slower_is_not_slowed_down_further() -> None:
    assert spent_on(Pace(1000), 1000, each=100, read=0.2) == pytest.approx(2.0)


def test_a_pause_is_not_caught_up_by_a_burst() -> None:
    pace = Pace(1000)
    pace.wait(100, 0.0)
    assert pace.wait(100, 60.0) == 0.0
    assert pace.wait(100, 60.0) == pytest.approx(0.1)


def test_little_is_read_at_once_and_never_nothing() -> None:
    assert Pace(1000).portion(10**6) == 100
    assert Pace(1).portion(10**6) == 1
    assert Pace(10**9).portion(500) == 500


def test_without_a_limit_nothing_waits() -> None:
    assert (Pace(0).portion(12345), Pace(0).wait(10**9, 0.0)) == (12345, 0.0)


def test_the_first_byte_each_step_and_each_retry_are_reported() -> None:
    account, reports = Account(1000), []
    for size in [100] * 30:
        account.bytes += size
        if account.due(0.0):
            reports.append(account.bytes)
    assert reports == [100, 1100, 2100]
    account.retries += 1
    assert account.due(0.0)
    assert not account.due(0.0)


def test_a_slow_line_is_reported_each_minute_and_a_dead_one_is_not() -> None:
    account, reports = Account(1000), []
    for second in range(100, 400):
        account.bytes += 1 if second < 250 else 0
        if account.due(float(second)):
            reports.append(second)
    assert reports == [100, 160, 220, 280]


def test_nothing_is_reported_unasked() -> None:
    account = Account(0, 10**9, 5)
    assert not account.due(1000.0)
