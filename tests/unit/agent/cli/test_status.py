"""Promises of the status text: short, aligned, and never at a loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bus.interface import read
from agent.bus.values import zero
from agent.cli.status import amount, progress_bar, progress_line, span, status_lines

NOW = 1_800_000_000.0

PROPERTIES = read()[0].properties


def test_a_quiet_device_takes_three_lines():
    values = {
        "State": "idle",
        "CurrentVersion": "1.0.0",
        "Slot": "A",
        "ServerState": "ok",
        "LastCheck": int(NOW) - 200,
        "NextCheck": int(NOW) + 100,
        "Progress": (0.0, "", 0),
        "LastResult": ("", "", "", ""),
        "LastError": ("", "", ""),
    }
    assert status_lines(values, NOW) == [
        "state     idle - up to date as far as known",
        "running   1.0.0 in slot A",
        "server    answers, asked 3 min ago, next in 100 s",
    ]


def test_the_rescue_system_says_what_it_is_and_what_is_needed():
    lines = status_lines({"State": "idle", "Slot": "R", "Rescue": True}, NOW)
    assert "rescue    this is the rescue system: no slot boots, an update is needed" in lines
    assert not any(
        line.startswith("rescue") for line in status_lines({"State": "idle", "Slot": "A", "Rescue": False}, NOW)
    )


def test_an_update_under_way_shows_where_it_goes_and_how_far_it_is():
    values = {
        "State": "staging",
        "CurrentVersion": "1.0.0",
        "Slot": "A",
        "TargetVersion": "2.0.0",
        "TargetSlot": "B",
        "Progress": (0.5, "rootfs", 120_400_000),
        "ServerState": "server.unreachable",
    }
    assert status_lines(values, NOW) == [
        "state     staging - writing to the other slot",
        "running   1.0.0 in slot A",
        "update    2.0.0 to slot B",
        "progress  [############------------]  50 %  120 MB  rootfs",
        "server    server.unreachable",
    ]


@pytest.mark.req("C13")
def test_a_failed_update_tells_why_and_what_to_do():
    values = {
        "State": "idle",
        "CurrentVersion": "1.0.0",
        "LastResult": ("failure", "2.0.0", "health.failed", "app.service is failed"),
        "LastError": ("health.failed", "app.service is failed", "look at its journal"),
    }
    lines = status_lines(values, NOW)
    assert "last      failure 2.0.0: app.service is failed [health.failed]" in lines
    assert "next      look at its journal" in lines
    assert not any(line.startswith("problem") for line in lines), "not told twice"


def test_progress_in_one_line_is_an_amount_or_what_is_being_done():
    values = {"State": "staging", "Progress": (0.25, "rootfs", 5_000_000)}
    assert progress_line(values) == "staging    [######------------------]  25 %  5.0 MB  rootfs"
    assert progress_line({"State": "trial"}) == "trial      the new system must prove itself"


def test_units_are_the_largest_that_say_enough():
    assert [amount(n) for n in (0, 999, 1500, 120_400_000, 10**15)] == ["0 B", "999 B", "1.5 kB", "120 MB", "1000 TB"]
    assert [span(n) for n in (-5, 0, 119, 120, 7300, 200_000)] == ["0 s", "0 s", "119 s", "2 min", "2 h", "2 d"]
    assert progress_bar(2) == "[########################] 100 %"
    assert progress_bar(-1).endswith("]   0 %")


_ANY = st.one_of(
    st.text(max_size=9), st.integers(), st.booleans(), st.none(), st.tuples(), st.tuples(st.text(max_size=3))
)


@given(st.dictionaries(st.sampled_from([row.name for row in PROPERTIES]), _ANY))
def test_whatever_a_daemon_of_another_version_says_can_be_shown(values):
    assert all(isinstance(line, str) for line in status_lines(values, NOW))


def test_the_initial_values_can_be_shown():
    values = {row.name: zero(row.signature) for row in PROPERTIES} | {"State": "idle"}
    assert status_lines(values, NOW)[0].startswith("state     idle")


def test_what_is_plugged_in_is_told_with_what_becomes_of_it() -> None:
    media = [
        ("/dev/sda1", "update.raucb", "asks", "1.2.0: it waits for approval"),
        ("/dev/sdb", "", "unreadable", "[media.filesystem] no"),
    ]
    shown = status_lines({"State": "idle", "Media": media}, 0)
    assert "medium    /dev/sda1 update.raucb: asks, 1.2.0: it waits for approval" in shown
    assert "medium    /dev/sdb: unreadable, [media.filesystem] no" in shown


@pytest.mark.parametrize("media", [None, 7, [], [("a", "b")], ["abc"], {"a": 1}])
def test_media_that_make_no_sense_are_not_shown(media: object) -> None:
    assert not [line for line in status_lines({"State": "idle", "Media": media}, 0) if line.startswith("medium")]
