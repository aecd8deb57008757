"""Budgets of a download: they hold over fetchers, kills and restarts, cost few writes, and are for one update only."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.pretend import Clock, Disk

from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.daemon.spending import Spending
from agent.errors import EnvironmentFault

MIB = 1024 * 1024
SIZE = 100_000_000
RECORD = Record(state=State.STAGING, action_id="7", sha256="ab", size=SIZE, boot_id="one", origin="server")


class Desk:
    """A disk and a clock, and daemons that come and go."""

    def __init__(self, **limits: Any) -> None:
        self.disk, self.clock = Disk(), Clock()
        self.writes = 0
        self.disk.strike = self._struck
        self.limits = {"budget_retries": 50, "budget_factor": 3.0, "budget_time": 1000.0, **limits}

    def _struck(self) -> None:
        self.writes += 1

    def daemon(self) -> Spending:
        return Spending(SimpleNamespace(**self.limits), self.disk, self.clock)  # type: ignore[arg-type]  # same shape


def refusal(call: Any, *arguments: Any) -> EnvironmentFault:
    with pytest.raises(EnvironmentFault) as caught:
        call(*arguments)
    assert not caught.value.retryable
    return caught.value


@pytest.mark.req("T22")
def test_bytes_are_counted_over_fetchers_and_restarts_of_the_daemon() -> None:
    desk = Desk()
    for _ in range(3):
        spending = desk.daemon()
        spending.begin(RECORD)
        spending.count(SIZE - 1000, 0)
        spending.end()
    spending = desk.daemon()
    spending.begin(RECORD)
    spending.count(3000 + MIB, 0)
    error = refusal(spending.count, 3001 + MIB, 0)
    assert error.code == "net.budget-bytes"
    assert "301048577 bytes for a bundle of 100000000, 301048576 are allowed" in error.details
    assert refusal(desk.daemon().begin, RECORD).code == "net.budget-bytes"


@pytest.mark.req("T22")
def test_a_tiny_bundle_may_be_opened_several_times() -> None:
    spending = Desk(budget_factor=1.0).daemon()
    for _ in range(4):
        spending.begin(replace(RECORD, size=20_000))
        spending.count(20_000, 0)
        spending.end()


def test_a_kill_forgets_no_more_than_a_twentieth_part() -> None:
    desk = Desk()
    for _ in range(4):
        spending = desk.daemon()  # and never an end
        spending.begin(RECORD)
        for size in range(1_000_000, 40_000_001, 1_000_000):
            spending.count(size, 0)
    kept = desk.disk.documents["spent"]["bytes"]
    assert isinstance(kept, int)
    assert 4 * 40_000_000 - 4 * SIZE // 20 <= kept <= 4 * 40_000_000


def test_a_download_without_interruptions_writes_seldom() -> None:
    desk = Desk()
    spending = desk.daemon()
    spending.begin(RECORD)
    for size in range(1_000_000, SIZE + 1, 1_000_000):
        spending.count(size, 0)
    spending.end()
    assert desk.writes / 2 <= 22  # the disk strikes before and after each write


def test_retries_are_counted_and_a_new_fetcher_is_one_if_it_brings_anything() -> None:
    desk = Desk(budget_retries=5)
    spending = desk.daemon()
    for _ in range(100):  # nobody was reached
        spending.begin(RECORD)
        spending.end()
    for _ in range(6):  # the first is no retry
        spending.begin(RECORD)
        spending.count(1000, 0)
        spending.end()
    spending.begin(RECORD)
    error = refusal(spending.count, 1000, 0)
    assert error.code == "net.budget-retries"
    assert "6 times, 5 are allowed; 7000 of 100000000 bytes came" in error.details
    assert "budget-retries" in error.resolution


def test_retries_inside_of_a_fetcher_count() -> None:
    spending = Desk(budget_retries=5).daemon()
    spending.begin(RECORD)
    spending.count(1000, 5)
    assert refusal(spending.count, 1000, 6).code == "net.budget-retries"


def test_retries_without_a_byte_are_counted_once() -> None:
    desk = Desk(budget_retries=5)
    spending = desk.daemon()
    spending.begin(RECORD)
    for retries in range(1, 6):
        spending.count(0, retries)
    spending.end()
    assert desk.disk.documents["spent"]["retries"] == 5
    assert refusal(spending.count, 0, 6).code == "net.budget-retries"


def test_time_counts_from_the_first_byte_and_goes_on_between_two_fetchers() -> None:
    desk = Desk()
    spending = desk.daemon()
    desk.clock.now += 5000
    spending.begin(RECORD)
    desk.clock.now += 5000
    spending.count(1, 0)
    desk.clock.now += 600
    spending.count(2, 0)
    spending.end()
    desk.clock.now += 300
    spending = desk.daemon()
    spending.begin(RECORD)
    desk.clock.now += 99
    spending.count(10, 0)
    desk.clock.now += 2
    error = refusal(spending.count, 11, 0)
    assert (error.code, "1001 s, 1000 are allowed" in error.details) == ("net.budget-time", True)


def test_a_closed_window_and_a_device_that_is_off_cost_no_time() -> None:
    desk = Desk()
    inspecting = replace(RECORD, state=State.INSPECTING)
    spending = desk.daemon()
    spending.begin(inspecting)
    spending.count(1, 0)
    spending.end()
    desk.clock.now += 500_000  # WAITING
    spending.begin(RECORD)
    spending.count(1, 0)
    spending.end()
    desk.clock.now = 10.0  # another boot
    again = replace(RECORD, boot_id="two")
    spending = desk.daemon()
    spending.begin(again)
    spending.count(1, 0)
    assert desk.disk.documents["spent"]["seconds"] == 0


def test_another_update_begins_with_nothing() -> None:
    desk = Desk()
    spending = desk.daemon()
    spending.begin(RECORD)
    spending.count(2 * SIZE, 40)
    spending.end()
    spending.begin(replace(RECORD, sha256="cd"))
    spending.count(2 * SIZE, 40)
    spending.forget()  # the same one is assigned again
    spending.begin(RECORD)
    spending.count(2 * SIZE, 40)
    before = desk.writes
    desk.daemon().forget()
    assert desk.writes > before
    before = desk.writes
    desk.daemon().forget()
    assert desk.writes == before


@pytest.mark.parametrize(
    "document",
    [{}, {"update": 5, "bytes": "x", "seconds": -1}, {"bytes": True, "moment": None}, {"bytes": float("inf")}],
)
def test_a_document_that_makes_no_sense_counts_as_nothing(document: dict[str, object]) -> None:
    desk = Desk()
    desk.disk.documents["spent"] = document
    spending = desk.daemon()
    spending.begin(RECORD)
    spending.count(100, 0)
    assert desk.disk.documents["spent"]["bytes"] == 100


def test_a_full_disk_stops_no_download() -> None:
    desk = Desk()
    desk.disk.full = True
    spending = desk.daemon()
    spending.begin(RECORD)
    spending.count(SIZE, 0)
    spending.end()
    assert refusal(spending.count, 4 * SIZE, 0).code == "net.budget-bytes"
