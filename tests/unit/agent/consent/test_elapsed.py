"""Time that has passed: never by the date alone, over restarts, and never backwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.consent.elapsed import Meter, Moment, from_json, started, to_json

SESSIONS = st.lists(  # seconds on, seconds off afterwards, whether the date is right in this boot, how wrong it is otherwise
    st.tuples(st.integers(1, 10**6), st.integers(0, 4 * 10**5), st.booleans(), st.integers(-(10**9), 10**9)),
    min_size=1, max_size=6,
)  # fmt: skip
NOW = 1_800_000_000.0


def run(sessions: list[tuple[int, int, bool, int]], *, saved: bool = True) -> tuple[Meter, float, float]:
    """Returns the meter, the time that has really passed, and the time for which the device was on."""
    meter = started(Moment("0", 0.0, NOW, sessions[0][2]))
    real = on = 0.0
    for number, (seconds, off, right, wrong) in enumerate(sessions):
        for part in (0, seconds) if number else (seconds,):
            wall = NOW + real + part if right else float(max(0, NOW + wrong))
            seen = meter.at(Moment(str(number), float(part), wall, right))
            assert seen.elapsed >= meter.elapsed
            meter = seen if saved or part == 0 else meter
        real, on = real + seconds + off, on + seconds
    return meter, real - sessions[-1][1], on


@pytest.mark.req("C07")
@given(SESSIONS)
def test_it_is_never_more_than_has_passed_nor_less_than_the_device_was_on(
    sessions: list[tuple[int, int, bool, int]],
) -> None:
    meter, real, on = run(sessions)
    assert on <= meter.elapsed <= real + 1e-3


@pytest.mark.req("C07")
@given(SESSIONS)
def test_with_a_date_that_is_right_at_both_ends_the_time_off_counts_too(
    sessions: list[tuple[int, int, bool, int]],
) -> None:
    if sessions[0][2] and sessions[-1][2]:
        meter, real, _ = run(sessions, saved=False)
        assert meter.elapsed == pytest.approx(real - sessions[-1][0]), "as of the last start"


def test_a_date_that_is_set_within_a_boot_changes_nothing() -> None:
    meter = started(Moment("a", 100.0, NOW, True))
    for wall in (NOW - 10**8, NOW + 10**8, 0.0):
        meter = meter.at(Moment("a", 160.0, wall, True))
        assert meter.elapsed == 60.0


def test_a_date_that_was_set_back_makes_no_time_off_out_of_the_way_back() -> None:
    meter = started(Moment("a", 0.0, NOW, True)).at(Moment("a", 60.0, NOW - 10**7, True))
    assert meter.at(Moment("b", 5.0, NOW + 70, True)).elapsed == pytest.approx(70.0)


def test_a_long_time_off_is_believed_for_a_month_at_most() -> None:
    meter = started(Moment("a", 0.0, NOW, True))
    assert meter.at(Moment("b", 0.0, NOW + 10**8, True)).elapsed == 30 * 86400


def test_time_off_is_counted_as_soon_as_the_date_is_right_again() -> None:
    meter = started(Moment("a", 0.0, NOW, True)).at(Moment("b", 50.0, 30.0, False))
    assert meter.elapsed == 50.0
    assert meter.at(Moment("b", 60.0, NOW + 1000, True)).elapsed == 1000.0


@given(
    st.builds(
        Meter,
        st.floats(0, 1e9),
        st.text(max_size=8),
        st.floats(0, 1e9),
        st.floats(0, 1e10),
        st.floats(0, 1e9),
        st.text(max_size=8),
    )
)
def test_a_meter_survives_its_storage(meter: Meter) -> None:
    assert from_json(to_json(meter)) == meter


@pytest.mark.parametrize(
    "change", [{"elapsed": -1}, {"elapsed": "1"}, {"wall": True}, {"boot_id": 5}, {"elapsed": float("inf")}]
)
def test_what_is_no_meter_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        from_json({**to_json(Meter()), **change})
