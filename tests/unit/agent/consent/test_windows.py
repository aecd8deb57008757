"""Times of the week: what a rule means, also on the days on which clocks are changed, and by a clock that is not sure."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.consent.windows import PATIENCE, SETTLE, Window, clock_serves, opening, parse

BERLIN = ZoneInfo("Europe/Berlin")
ALL = frozenset(range(7))


def at(text: str, zone: dt.tzinfo = BERLIN) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("02:00-05:00", Window(ALL, 120, 180)),
        ("Mon-Fri 02:00-05:00", Window(frozenset(range(5)), 120, 180)),
        ("Sat,Sun 00:00-24:00", Window(frozenset({5, 6}), 0, 1440)),
        ("Fri-Mon 22:30-04:00", Window(frozenset({4, 5, 6, 0}), 1350, 330)),
        ("Mon,Wed-Thu 23:59-00:00", Window(frozenset({0, 2, 3}), 1439, 1)),
    ],
)
def test_a_rule_means_days_a_start_and_a_length(text: str, window: Window) -> None:
    assert parse(text) == window


@pytest.mark.parametrize(
    "text",
    ["", "02:00", "2:00-3:00", "24:00-05:00", "02:00-02:00", "02:60-03:00", "mon 02:00-03:00", "Mon-  02:00-03:00",
     "Mo 02:00-03:00", "Mon,, 02:00-03:00", "02:00-24:01", " 02:00-03:00", "02:00-03:00\n"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    ("now", "is_open", "change"),
    [
        ("2027-01-04T01:59:00", False, 60),  # a Monday
        ("2027-01-04T02:00:00", True, 3 * 3600),
        ("2027-01-04T04:59:59", True, 1),
        ("2027-01-04T05:00:00", False, 21 * 3600),
        ("2027-01-09T03:00:00", False, 47 * 3600),  # a Saturday
    ],
)
def test_a_window_opens_and_closes_when_its_rule_says(now: str, is_open: bool, change: float) -> None:
    found = opening([parse("Mon-Fri 02:00-05:00")], BERLIN, at(now))
    assert (found.open, found.change) == (is_open, change)


def test_windows_that_touch_are_one_and_one_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    rules = [parse("Mon 22:00-24:00"), parse("Tue 00:00-01:00")]
    assert opening(rules, BERLIN, at("2027-01-04T23:00:00")).change == 2 * 3600
    night = [parse("Mon 22:00-04:00")]
    assert opening(night, BERLIN, at("2027-01-05T03:00:00")).open
    assert not opening(night, BERLIN, at("2027-01-04T03:00:00")).open


def test_a_window_in_the_hour_that_is_left_out_comes_after_it_and_is_as_long_as_ever() -> None:
    """On 28 March 2027 02:00 is followed by 03:00."""
    rule = [parse("02:15-02:45")]
    assert not opening(rule, BERLIN, at("2027-03-28T01:59:00")).open
    begin = at("2027-03-28T03:15:00")
    assert opening(rule, BERLIN, begin - 1) == opening(rule, BERLIN, begin - 1).__class__(False, 1)
    assert opening(rule, BERLIN, begin).change == 30 * 60


def test_a_window_in_the_hour_that_comes_twice_comes_once_and_is_as_long_as_ever() -> None:
    """On 31 October 2027 02:00 to 03:00 comes twice."""
    rule = [parse("02:15-02:45")]
    first = dt.datetime(2027, 10, 31, 2, 15, tzinfo=BERLIN).timestamp()
    assert opening(rule, BERLIN, first).change == 30 * 60
    assert not opening(rule, BERLIN, first + 3600).open
    longer = [parse("01:00-04:00")]
    begin = dt.datetime(2027, 10, 31, 1, 0, tzinfo=BERLIN).timestamp()
    assert opening(longer, BERLIN, begin).change == 3 * 3600


RULES = st.builds(
    Window, st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, 1439), st.integers(1, 1440)
)  # fmt: skip
ZONES = st.sampled_from(
    [BERLIN, dt.UTC, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kolkata")]
)


@pytest.mark.req("C04")
@given(st.lists(RULES, min_size=1, max_size=3), ZONES, st.integers(1_750_000_000, 1_900_000_000))
def test_the_next_change_is_told_exactly(rules: list[Window], zone: dt.tzinfo, now: int) -> None:
    found = opening(rules, zone, now)
    assert found.change > 0
    whole_week = found.open and found.change > 8 * 86400  # it never closes: only what was looked at ends
    if not whole_week:
        assert opening(rules, zone, now + found.change).open is not found.open
        assert opening(rules, zone, now + found.change / 2).open is found.open
    if not found.open:
        assert found.change <= 7 * 86400 + 2 * 3600


def test_without_windows_it_is_always_open() -> None:
    assert opening([], dt.UTC, 0.0).open


@pytest.mark.parametrize(
    ("trusted", "plausible", "uptime", "age", "serves"),
    [
        (True, True, 1, 0, True),
        (False, True, SETTLE - 1, 10 * PATIENCE, False),  # it may become right in a minute
        (False, True, SETTLE, 0, True),  # the date of a device without a network that has a battery
        (False, False, SETTLE, PATIENCE - 1, False),
        (False, False, SETTLE, PATIENCE, None),  # never for ever
        (False, False, SETTLE - 1, PATIENCE, False),
    ],
)
def test_a_clock_that_is_not_synchronised_is_waited_for_and_not_for_ever(
    trusted: bool, plausible: bool, uptime: float, age: float, serves: bool | None
) -> None:
    assert clock_serves(trusted=trusted, plausible=plausible, uptime=uptime, age=age) is serves
