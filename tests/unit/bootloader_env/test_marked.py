"""The marker beside the bootloader: when it counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.loaders import BOARDS, Board

from bootloader_env.errors import BootEnvError
from bootloader_env.marked import Marked, with_marker
from bootloader_env.marker_file import ACTIVE, PREPARED, Marker, MarkerFile
from bootloader_env.noop import NoopLoader

TRIAL = "B,7,abcdef"
WITHOUT_A_PLACE = ["efi", "efi-order", "systemd-boot"]


@pytest.fixture(params=WITHOUT_A_PLACE)
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Board:
    made = BOARDS[request.param](tmp_path)
    made.power_on()
    made.open("A").revert("B", "A")
    return made


def marker(board: Board) -> MarkerFile:
    return MarkerFile(str(board.state / "trial"))


@pytest.mark.req("S08")
def test_a_marker_that_was_prepared_counts_for_nothing_as_long_as_the_bootloader_knows_of_nothing(board: Board) -> None:
    marker(board).write(PREPARED, TRIAL)
    assert board.open("A").read().trial == ""


@pytest.mark.req("S07", "S08")
def test_a_marker_that_was_prepared_counts_when_the_bootloader_was_told(board: Board) -> None:
    board.open("A").activate("B", fallback="A", trial=TRIAL)
    marker(board).write(PREPARED, TRIAL)
    assert board.open("A").read().trial == TRIAL
    assert board.power_on() == "B"
    assert board.open("B").read().trial == TRIAL


@pytest.mark.req("S03", "S08")
@pytest.mark.parametrize("kind", ["efi", "systemd-boot"])
def test_a_marker_that_a_cut_has_left_behind_a_confirmation_does_not_count(kind: str, tmp_path: Path) -> None:
    """Else an agent that cannot start would take a confirmed system for one on trial, and restart it for ever."""
    board = BOARDS[kind](tmp_path)
    board.power_on()
    board.open("A").activate("B", fallback="A", trial=TRIAL)
    board.power_on()
    board.open("B").confirm("B")
    marker(board).write(ACTIVE, TRIAL)
    assert board.open("B").read().trial == ""


@pytest.mark.req("S03", "S08")
@pytest.mark.parametrize("kind", ["efi", "systemd-boot"])
def test_a_healthy_boot_removes_a_marker_that_a_cut_has_left_behind_a_confirmation(kind: str, tmp_path: Path) -> None:
    """Else the last resort of a trial, which reads the file only, would restart a confirmed system for ever."""
    board = BOARDS[kind](tmp_path)
    board.power_on()
    board.open("A").activate("B", fallback="A", trial=TRIAL)
    board.power_on()
    board.open("B").confirm("B")
    marker(board).write(ACTIVE, TRIAL)
    board.open("B").mark_good("B")
    assert marker(board).read() is None


def test_a_healthy_boot_removes_a_marker_of_a_switch_that_never_was(board: Board) -> None:
    marker(board).write(PREPARED, TRIAL)
    board.open("A").mark_good("A")
    assert marker(board).read() is None


@pytest.mark.req("S07")
def test_a_boot_that_is_marked_good_does_not_end_a_trial(board: Board) -> None:
    board.open("A").activate("B", fallback="A", trial=TRIAL)
    board.open("A").mark_good("A")
    assert board.power_on() == "B"
    board.open("B").mark_good("A")
    assert board.open("B").read().trial == TRIAL


def test_an_activation_without_a_trial_takes_an_old_marker_away(board: Board) -> None:
    marker(board).write(ACTIVE, TRIAL)
    board.open("A").activate("B", fallback="A", trial="")
    assert marker(board).read() is None


def test_an_activation_under_way_is_done_again_when_the_bootloader_was_not_told(board: Board) -> None:
    marker(board).write(ACTIVE, TRIAL)  # of an earlier try of the same update
    env = board.open("A")
    env.activate("B", fallback="A", trial=TRIAL)
    assert env.read().primary == "B"
    assert marker(board).read() == Marker(ACTIVE, TRIAL)


def test_an_environment_with_a_place_for_the_marker_stays_as_it_is(tmp_path: Path) -> None:
    board = BOARDS["uboot"](tmp_path)
    assert not isinstance(board.open("A"), Marked)


@pytest.mark.parametrize(
    "text", ["", "active", "active \n", "done B,1,2\n", "active B,1,2", "active " + "x" * 101 + "\n"]
)
def test_a_marker_that_makes_no_sense_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trial"
    path.write_text(text)
    with pytest.raises(BootEnvError) as caught:
        MarkerFile(str(path)).read()
    assert caught.value.code == "bootenv.marker-invalid"


def test_a_marker_is_for_root_only_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = MarkerFile(str(tmp_path / "trial"))
    file.write(PREPARED, TRIAL)
    file.write(ACTIVE, TRIAL)
    assert [path.name for path in tmp_path.iterdir()] == ["trial"]
    assert (tmp_path / "trial").stat().st_mode & 0o777 == 0o600
    file.remove()
    file.remove()
    assert not list(tmp_path.iterdir())


def test_without_a_bootloader_every_change_succeeds_and_what_was_asked_for_is_seen(tmp_path: Path) -> None:
    env = with_marker(NoopLoader(("A", "B")), str(tmp_path / "trial"), booted="A")
    env.activate("B", fallback="A", trial=TRIAL)
    assert (env.read().order, env.read().trial) == (("B", "A"), TRIAL)
    again = with_marker(NoopLoader(("A", "B")), str(tmp_path / "trial"), booted="B")
    assert again.read().trial == TRIAL
    again.confirm("B")
    assert (again.read().order, again.read().trial) == (("B", "A"), "")
    again.revert("B", "A")
    again.mark_good("A")
    assert again.read().order == ("A",)
    assert not again.heal("A", [])
    assert again.capabilities.trial_attempts == 0
    assert again.current() == ""
