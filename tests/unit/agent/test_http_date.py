"""Dates of HTTP are read as the library for mail reads them."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.http_date import retry_after, seconds_since_epoch


@given(st.integers(0, 200_000_000_000))
def test_every_date_is_read_as_it_was_written(moment: int) -> None:
    text = formatdate(moment, usegmt=True)
    assert seconds_since_epoch(text) == moment == parsedate_to_datetime(text).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Xyz 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    assert seconds_since_epoch(text) is None


@given(st.text())
def test_any_text_is_a_date_or_none(text: str) -> None:
    found = seconds_since_epoch(text)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("120", "", 120.0),
        (" 0 ", "", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Fri, 01 Mar 2024 00:00:10 GMT", "Thu, 29 Feb 2024 23:59:50 GMT", 20.0),
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
    assert retry_after(value, date) == seconds


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_retry_after_is_read_or_ignored(value: str, date: str) -> None:
    found = retry_after(value, date)
    assert found is None or found >= 0
