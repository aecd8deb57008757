"""Postponing: so often, so long at once, so long in all, and never over the deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.consent.deferral import Deferral, Limits
from agent.errors import PolicyError

LIMITS = Limits(count=3, longest=100.0, total=250.0, deadline=1000.0)


def refused(deferral: Deferral, seconds: float, age: float, limits: Limits = LIMITS) -> str:
    with pytest.raises(PolicyError) as caught:
        deferral.postponed(seconds, age, limits)
    return caught.value.code


def test_a_postponement_runs_for_as_long_as_was_said() -> None:
    one = Deferral().postponed(60, 10, LIMITS)
    assert [one.left(age, LIMITS) for age in (10, 40, 70, 1000)] == [60, 30, 0, 0]
    assert one.gone(40, LIMITS) == 30


@pytest.mark.req("C07")
def test_only_so_many_so_long_and_so_long_in_all_are_possible() -> None:
    one = Deferral().postponed(100, 0, LIMITS).postponed(100, 100, LIMITS)
    assert one.allowed(200, LIMITS) == 50
    assert refused(one, 51, 200) == "consent.postponed-long"
    assert refused(Deferral(), 101, 0) == "consent.postponed-long"
    assert refused(Deferral(), 0, 0) == "consent.postponed-long"
    three = one.postponed(10, 200, LIMITS)
    assert refused(three, 1, 210) == "consent.postponed-often"
    assert refused(Deferral(), 1, 0, Limits(0, 10, 10, 10)) == "consent.postponed-often"


def test_what_was_not_used_up_is_given_back() -> None:
    one = Deferral().postponed(100, 0, LIMITS)
    assert one.stopped(20, LIMITS).left(20, LIMITS) == 0
    assert one.stopped(20, LIMITS).spent == 20
    assert one.postponed(100, 20, LIMITS).gone(120, LIMITS) == 120


@pytest.mark.req("C07")
def test_nothing_is_postponed_over_the_deadline() -> None:
    assert refused(Deferral(), 61, 940) == "consent.postponed-long"
    assert Deferral().postponed(60, 940, LIMITS).left(940, LIMITS) == 60
    assert refused(Deferral(), 1, 1001) == "consent.postponed-long"


def test_stricter_limits_shorten_what_runs() -> None:
    one = Deferral().postponed(100, 0, LIMITS)
    assert one.left(10, Limits(3, 100, 30, 1000)) == 20
    assert one.left(10, Limits(3, 100, 250, 15)) == 5


@pytest.mark.req("C07")
@given(st.lists(st.tuples(st.floats(0.1, 200), st.floats(0, 300)), max_size=8))
def test_all_postponements_together_never_exceed_the_total(steps: list[tuple[float, float]]) -> None:
    deferral, age, postponed = Deferral(), 0.0, 0.0
    for seconds, pause in steps:
        if seconds <= deferral.allowed(age, LIMITS):
            deferral = deferral.postponed(seconds, age, LIMITS)
        postponed += min(pause, deferral.left(age, LIMITS))
        age += pause
        assert deferral.gone(age, LIMITS) == pytest.approx(postponed)
        assert postponed <= LIMITS.total + 1e-6
