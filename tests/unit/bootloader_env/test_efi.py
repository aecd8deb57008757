"""What is particular about UEFI's variables; the rest is in test_contract.py."""

from __future__ import annotations

import fcntl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.loaders import GLOBAL, Efi

from bootloader_env import efi_vars
from bootloader_env.efi import EfiLoader
from bootloader_env.efi_vars import EfiVars
from bootloader_env.errors import BootEnvError


@pytest.fixture
def board(tmp_path: Path) -> Efi:
    return Efi(tmp_path)


@pytest.fixture
def loader(board: Efi) -> EfiLoader:
    return EfiLoader(EfiVars(str(board.vars)), ("A", "B"))


def order(board: Efi) -> list[int]:
    return board.get("BootOrder")


def test_entries_that_are_not_ours_keep_their_place_behind(board: Efi, loader: EfiLoader) -> None:
    loader.revert("B", "A")
    assert order(board) == [1, 3, 0]
    loader.activate("B", fallback="A", trial="")
    assert (order(board), board.get("BootNext")) == ([1, 2, 3, 0], [2])
    board.power_on()
    loader.confirm("B")
    assert (order(board), board.get("BootNext")) == ([2, 1, 3, 0], [])


def test_what_a_person_has_set_for_the_next_boot_stays(board: Efi, loader: EfiLoader) -> None:
    board.put("BootNext", struct.pack("<H", 3))
    loader.revert("B", "A")
    assert board.get("BootNext") == [3]
    assert loader.read().order[0] == "USB"


def test_a_missing_order_is_made_by_the_activation(board: Efi, loader: EfiLoader) -> None:
    (board.vars / f"BootOrder-{GLOBAL}").unlink()
    assert loader.read().order == ()
    loader.activate("B", fallback="A", trial="")
    assert order(board) == [1, 2]
    assert board.power_on() == "B"


def test_a_good_boot_of_a_slot_in_no_order_puts_it_last(board: Efi, loader: EfiLoader) -> None:
    board.put("BootOrder", struct.pack("<2H", 2, 0))
    loader.mark_good("A")
    assert order(board) == [2, 0, 1]


@pytest.mark.parametrize("what", ["missing", "twice", "inactive"])
def test_a_slot_needs_exactly_one_active_entry(board: Efi, loader: EfiLoader, what: str) -> None:
    if what == "missing":
        (board.vars / f"Boot0002-{GLOBAL}").unlink()
    elif what == "twice":
        board.put("Boot0009", board.option("B"))
    else:
        board.put("Boot0002", b"\0" + board.option("B")[1:])
    before = board.snapshot()
    with pytest.raises(BootEnvError) as caught:
        loader.activate("B", fallback="A", trial="")
    assert caught.value.code == "bootenv.efi-entry"
    assert "efibootmgr" in caught.value.resolution
    assert board.snapshot() == before


def test_an_entry_that_makes_no_sense_is_passed_over(board: Efi, loader: EfiLoader) -> None:
    board.put("Boot0000", b"odd")
    assert loader.read().order == ("A", "B", "USB")


@pytest.mark.parametrize(("name", "data"), [("BootOrder", b"\1"), ("BootNext", b"\1\0\2\0"), ("BootNext", b"")])
def test_a_variable_that_makes_no_sense_is_an_error(board: Efi, loader: EfiLoader, name: str, data: bytes) -> None:
    board.put(name, data)
    with pytest.raises(BootEnvError) as caught:
        loader.read()
    assert caught.value.code == "bootenv.efi-invalid"


def test_a_variable_without_attributes_is_an_error(board: Efi, loader: EfiLoader) -> None:
    (board.vars / f"BootOrder-{GLOBAL}").write_bytes(b"\7\0")
    with pytest.raises(BootEnvError) as caught:
        loader.read()
    assert caught.value.code == "bootenv.efi-invalid"


def test_without_efivarfs_there_is_advice(tmp_path: Path) -> None:
    with pytest.raises(BootEnvError) as caught:
        EfiLoader(EfiVars(str(tmp_path / "none")), ("A", "B")).read()
    assert caught.value.code == "bootenv.efi-missing"


def test_an_entry_of_somebody_else_is_not_what_was_booted(board: Efi, loader: EfiLoader) -> None:
    board.put("BootCurrent", struct.pack("<H", 3))
    assert loader.current() == ""
    board.put("BootCurrent", struct.pack("<H", 77))
    assert loader.current() == ""


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system with immutable files, as efivarfs is."""
    point = tmp_path / "vars"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
    yield point
    subprocess.run(["umount", point], check=True)


def flags(path: Path) -> int:
    with path.open("rb") as file:
        return struct.unpack("l", fcntl.ioctl(file, efi_vars._GETFLAGS, bytes(8)))[0]


@pytest.mark.root
def test_the_immutable_mark_is_taken_off_for_the_write_and_put_back(immutable: Path) -> None:
    path = immutable / f"BootNext-{GLOBAL}"
    path.write_bytes(b"\7\0\0\0\1\0")
    subprocess.run(["chattr", "+i", path], check=True)
    with pytest.raises(PermissionError):
        path.write_bytes(b"")
    variables = EfiVars(str(immutable))
    variables.write("BootNext", b"\2\0")
    assert path.read_bytes() == b"\7\0\0\0\2\0"
    assert flags(path) & 0x10
    variables.delete("BootNext")
    assert not path.exists()


def test_a_firmware_that_forgets_is_found_out(board: Efi, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = EfiVars(str(board.vars))
    monkeypatch.setattr(EfiVars, "read", lambda *_: b"\1\0")
    with pytest.raises(BootEnvError) as caught:
        variables.write("BootNext", b"\2\0")
    assert caught.value.code == "bootenv.write-failed"
