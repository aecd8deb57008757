"""Entries of systemd-boot: names, order, and what a cut between two files leaves."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from support.loaders import LOADER, SystemdBoot

from bootloader_env import entry_format as fmt
from bootloader_env.efi_vars import EfiVars
from bootloader_env.errors import BootEnvError
from bootloader_env.systemd_boot import SystemdBootLoader

TRIAL = "B,7,abcdef"


@pytest.fixture
def board(tmp_path: Path) -> SystemdBoot:
    made = SystemdBoot(tmp_path)
    made.power_on()
    return made


def loader(board: SystemdBoot, *names: str) -> SystemdBootLoader:
    variables = EfiVars(str(board.folder / "efivars"))
    return SystemdBootLoader(str(board.entries), names or ("A", "B"), attempts=3, variables=variables)


def files(board: SystemdBoot) -> list[str]:
    return sorted(path.name for path in board.entries.iterdir())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("A.conf", fmt.FileName("A", None, None, False)),
        ("A+3.conf", fmt.FileName("A", 3, 0, False)),
        ("A+2-1.conf", fmt.FileName("A", 2, 1, False)),
        ("a-b.1+0-3.CONF", fmt.FileName("a-b.1", 0, 3, False)),
        ("A.conf.off", fmt.FileName("A", None, None, True)),
        ("A+x.conf", fmt.FileName("A+x", None, None, False)),
        ("A+1-.conf", fmt.FileName("A+1-", None, None, False)),
        ("A.cfg", None),
        (".conf", None),
    ],
)
def test_file_names_are_read_as_the_specification_says(file: str, name: fmt.FileName | None) -> None:
    assert fmt.decode_name(file) == name


def test_the_life_of_an_entry(board: SystemdBoot) -> None:
    env = loader(board)
    env.revert("B", "A")
    assert files(board) == ["A.conf", "B.conf.off"]
    env.activate("B", fallback="A", trial="")
    assert files(board) == ["A.conf", "B+3.conf"]
    assert board.power_on() == "B"
    assert files(board) == ["A.conf", "B+2-1.conf"]
    env.confirm("B")
    assert files(board) == ["A.conf", "B.conf"]
    text = (board.entries / "B.conf").read_text()
    assert "linux /B/linux\noptions ota.slot=B\n" in text
    assert fmt.fields(text)["version"] == "3"


def test_a_slot_that_used_up_its_boots_is_last_and_can_still_be_activated_again(board: SystemdBoot) -> None:
    env = loader(board)
    env.activate("B", fallback="A", trial="")
    assert [board.power_on() for _ in range(4)] == ["B", "B", "B", "A"]
    state = env.read()
    assert (state.primary, state.order, state.slots["B"].attempts) == ("A", ("A", "B"), 0)
    env.revert("B", "A")
    env.activate("B", fallback="A", trial="")
    assert board.power_on() == "B"


def test_a_fallback_that_was_counted_or_out_of_service_is_made_good(board: SystemdBoot) -> None:
    (board.entries / "A.conf").rename(board.entries / "A+1-2.conf")
    loader(board).activate("B", fallback="A", trial="")
    assert files(board) == ["A.conf", "B+3.conf"]
    loader(board).revert("A", "B")
    loader(board).activate("B", fallback="A", trial="")
    assert files(board) == ["A.conf", "B+3.conf"]
    assert loader(board).read().order == ("B", "A")


def test_with_three_slots_the_fallback_is_second(tmp_path: Path) -> None:
    class Three(SystemdBoot):
        names = ("A", "B", "C")

    board = Three(tmp_path)
    env = loader(board, "A", "B", "C")
    assert env.read().order == ("A", "B", "C")
    env.activate("C", fallback="B", trial="")
    assert env.read().order == ("C", "B", "A")
    assert board.power_on() == "C"
    env.revert("C", "A")
    assert env.read().order == ("A", "B")
    assert board.power_on() == "A"


@pytest.mark.req("S08")
@pytest.mark.parametrize(
    ("left_over", "now", "first", "attempts"),
    [
        ("B.conf.off", "B+3.conf", "B", 3),  # activation: the old file was not deleted
        ("B+2-1.conf", "B.conf", "B", 1),  # confirmation
        ("B+2-1.conf", "B.conf.off", "B", 2),  # revert: not done before the entry is out of service
    ],
)
def test_of_two_files_of_a_slot_the_right_one_counts(
    board: SystemdBoot, left_over: str, now: str, first: str, attempts: int
) -> None:
    text = fmt.with_version((board.entries / "B.conf").read_text(), 7)
    (board.entries / "B.conf").unlink()
    for name in (left_over, now):
        (board.entries / name).write_text(text)
    state = loader(board).read()
    assert (state.primary, state.slots["B"].attempts) == (first, attempts)


@pytest.mark.parametrize("how", ["loader.conf", "variable"])
def test_a_fixed_default_is_refused_because_counts_would_mean_nothing(board: SystemdBoot, how: str) -> None:
    if how == "loader.conf":
        (board.entries.parent / "loader.conf").write_text("default A.conf\n")
    else:
        path = board.folder / "efivars" / f"LoaderEntryDefault-{LOADER}"
        path.write_bytes(struct.pack("<I", 7) + "a.conf\0".encode("utf-16-le"))
    before = board.snapshot()
    for call in (loader(board).read, lambda: loader(board).activate("B", fallback="A", trial="")):
        with pytest.raises(BootEnvError) as caught:
            call()
        assert caught.value.code == "bootenv.default-set"
    assert board.snapshot() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("sort-key os\n", ""), ("version 1\n", ""), ("version 1\n", "version 1.0\n"), ("sort-key os", "sort-key b"),
     ("version 1\n", "version 1\nmachine-id 0123\n")],
)  # fmt: skip
def test_entries_whose_place_cannot_be_told_are_refused(board: SystemdBoot, old: str, new: str) -> None:
    path = board.entries / "B.conf"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BootEnvError) as caught:
        loader(board).read()
    assert caught.value.code == "bootenv.entry-invalid"


def test_a_slot_without_an_entry_cannot_be_activated(board: SystemdBoot) -> None:
    (board.entries / "B.conf").unlink()
    assert loader(board).read().order == ("A",)
    with pytest.raises(BootEnvError) as caught:
        loader(board).activate("B", fallback="A", trial="")
    assert caught.value.code == "bootenv.entry-missing"
    assert files(board) == ["A.conf"]


def test_a_missing_directory_is_an_error_of_the_storage(tmp_path: Path) -> None:
    env = SystemdBootLoader(str(tmp_path / "no"), ("A", "B"), attempts=3, variables=EfiVars(str(tmp_path)))
    with pytest.raises(BootEnvError) as caught:
        env.read()
    assert caught.value.code == "bootenv.io"


def test_names_that_fat_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(BootEnvError) as caught:
        SystemdBootLoader("/nowhere", ("a", "A"), attempts=3, variables=EfiVars("/nowhere"))
    assert caught.value.code == "bootenv.bootnames"


def test_other_entries_are_left_alone(board: SystemdBoot) -> None:
    other = board.entries / "rescue.conf"
    other.write_text("title Rescue\n")
    env = loader(board)
    env.activate("B", fallback="A", trial="")
    env.confirm("B")
    env.revert("A", "B")
    assert other.read_text() == "title Rescue\n"
