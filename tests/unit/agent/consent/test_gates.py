"""What the surroundings say, and that services which are not there say nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.pretend import POLICY, Services

from agent.bus.calls import BusCallError
from agent.consent.gates import Gates
from agent.consent.rules import Hold


class Board:
    """A device with power supplies in files and services on a bus."""

    def __init__(self, directory: Path) -> None:
        self.services = Services()
        self.now = 0.0
        self.directory = directory
        self.gates = Gates(self.services, lambda: self.now, directory)

    def supply(self, name: str, **values: str) -> None:
        (self.directory / name).mkdir(exist_ok=True)
        for key, value in values.items():
            (self.directory / name / key).write_text(value + "\n")

    def shut(self, **policy: object) -> set[Hold]:
        self.now += 60
        return set(self.gates.shut(replace(POLICY, **policy)))  # type: ignore[arg-type]  # its fields


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_nobody_is_asked_where_nothing_is_wanted(board: Board) -> None:
    board.services.properties = {"Metered": 1, "OnBattery": True}
    board.services.inhibitors = [("shutdown", "app", "busy", "block")]
    assert board.shut() == set()


@pytest.mark.parametrize(
    ("battery", "charge", "power", "shut"),
    [(False, 0.0, "ac", False), (True, 90.0, "ac", True), (True, 30.0, "battery:30", False), (True, 29.9, "battery:30", True),
     (False, 1.0, "battery:30", False)],
)  # fmt: skip
def test_power_as_upower_tells_it(board: Board, battery: bool, charge: float, power: str, shut: bool) -> None:
    board.supply("BAT", type="Battery", capacity="50")  # not asked: UPower is there
    board.services.properties = {"OnBattery": battery, "Percentage": charge}
    assert (Hold.POWER in board.shut(power=power)) is shut


@pytest.mark.parametrize(
    ("supplies", "power", "shut"),
    [
        ({}, "ac", False),  # a device without a battery
        ({"AC": {"type": "Mains", "online": "1"}, "B": {"type": "Battery", "capacity": "1"}}, "ac", False),
        ({"AC": {"type": "Mains", "online": "0"}, "B": {"type": "Battery", "capacity": "99"}}, "ac", True),
        ({"AC": {"type": "USB", "online": "0"}, "B": {"type": "Battery", "capacity": "30"}}, "battery:30", False),
        ({"A": {"type": "Battery", "capacity": "80"}, "B": {"type": "Battery", "capacity": "20"}}, "battery:30", True),
        ({"B": {"type": "Battery"}}, "battery:30", True),  # a battery that does not tell
        ({"M": {"type": "Battery", "scope": "Device", "capacity": "5"}}, "battery:30", False),  # of a mouse
    ],
)
def test_power_as_the_kernel_tells_it(
    board: Board, supplies: dict[str, dict[str, str]], power: str, shut: bool
) -> None:
    for name, values in supplies.items():
        board.supply(name, **values)
    assert (Hold.POWER in board.shut(power=power)) is shut


@pytest.mark.parametrize(("metered", "shut"), [(0, False), (1, True), (2, False), (3, True), (4, False), (None, False)])
def test_a_metered_connection_is_what_networkmanager_says_or_guesses(
    board: Board, metered: int | None, shut: bool
) -> None:
    board.services.properties = {} if metered is None else {"Metered": metered}
    assert (Hold.METERED in board.shut(metered="avoid")) is shut


def test_only_locks_that_block_a_shutdown_count(board: Board) -> None:
    rows = [("shutdown", "a", "delays", "delay"), ("sleep:idle", "b", "sleeps", "block")]
    board.services.inhibitors = rows
    assert board.shut(inhibitors=True) == set()
    board.services.inhibitors = [*rows, ("sleep:shutdown", "backup", "is running", "block")]
    assert board.shut(inhibitors=True) == {Hold.INHIBITOR}
    assert board.gates.inhibited == (("backup", "is running"),)
    board.services.inhibitors = [("shutdown", "editor", "is open", "block-weak")]
    assert board.shut(inhibitors=True) == {Hold.INHIBITOR}, "it blocks the restart as well"


def test_a_busy_file_counts_while_it_is_there(board: Board) -> None:
    busy = board.directory / "busy"
    busy.touch()
    assert board.shut(busy_file=busy) == {Hold.BUSY}
    busy.unlink()
    assert board.shut(busy_file=busy) == set()


def test_the_answers_of_one_moment_are_asked_for_once(board: Board) -> None:
    board.services.properties = {"Metered": 1}
    policy = replace(POLICY, metered="avoid")
    assert board.gates.shut(policy) == {Hold.METERED}
    board.services.properties = {"Metered": 2}
    assert board.gates.shut(policy) == {Hold.METERED}
    board.gates.forget()
    assert board.gates.shut(policy) == set()
    board.services.properties = {"Metered": 3}
    board.now += 6
    assert board.gates.shut(policy) == {Hold.METERED}


def test_a_service_that_does_not_answer_is_told_and_stops_nothing(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    def hang(*_: object) -> object:
        raise BusCallError("timeout", "no answer within 5 s")

    board.services.get = board.services.call = hang  # type: ignore[assignment,method-assign]
    assert board.shut(metered="avoid", inhibitors=True, power="ac") == set()
    assert caplog.text.count("no answer") == 3
