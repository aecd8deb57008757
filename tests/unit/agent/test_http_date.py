"""Dates of HTTP are read as the library for mail reads them."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.http_date import seconds_since_epoch


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
