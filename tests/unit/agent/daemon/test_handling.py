"""Which assignment may do what, when: hawkBit's table, and this device's own rule for soft ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.daemon.handling import Hold, before_fetching, before_installing, only_fetch
from agent.daemon.record import Record

HANDLINGS = st.sampled_from(["skip", "attempt", "forced"])
RECORDS = st.builds(
    Record,
    origin=st.sampled_from(["server", "local"]),
    download=HANDLINGS,
    update=HANDLINGS,
    window=st.sampled_from(["", "available", "unavailable"]),
    consent=st.sampled_from(["", "given"]),
)


def record(download: str, update: str, window: str = "", consent: str = "") -> Record:
    return Record(origin="server", download=download, update=update, window=window, consent=consent)


@pytest.mark.parametrize(
    ("offered", "soft", "fetch", "install", "only"),
    [
        (record("forced", "forced"), "ask", "", "", False),
        (record("attempt", "attempt"), "install", "", "", False),
        (record("attempt", "attempt"), "ask", "consent", "consent", False),
        (record("attempt", "attempt", consent="given"), "ask", "", "", False),
        (record("forced", "attempt"), "ask", "", "consent", False),
        (record("forced", "skip"), "ask", "", "server", True),
        (record("attempt", "skip"), "ask", "consent", "server", True),
        (record("forced", "skip", "unavailable"), "ask", "", "window", False),
        (record("attempt", "skip", "unavailable"), "ask", "consent", "window", False),
        (record("forced", "forced", "available"), "ask", "", "", False),
        (record("forced", "forced", "unavailable"), "install", "", "window", False),
        (record("attempt", "attempt", "available", "given"), "ask", "", "", False),
        (record("skip", "forced"), "install", "server", "", False),
        (record("skip", "skip"), "install", "server", "server", False),
    ],
)
def test_the_table(offered: Record, soft: str, fetch: str, install: str, only: bool) -> None:
    assert (before_fetching(offered, soft), before_installing(offered, soft)) == (fetch, install)
    assert only_fetch(offered) is only


@given(RECORDS, st.sampled_from(["install", "ask"]))
def test_nothing_is_installed_that_the_server_says_to_skip_or_outside_of_its_window(now: Record, soft: str) -> None:
    if now.origin == "server" and (now.update == "skip" or now.window == "unavailable"):
        assert before_installing(now, soft) is not Hold.NOTHING


@given(RECORDS)
def test_a_forced_assignment_and_a_local_file_never_need_consent(now: Record) -> None:
    if now.origin == "local" or "attempt" not in (now.download, now.update):
        assert Hold.CONSENT not in (before_fetching(now, "ask"), before_installing(now, "ask"))
