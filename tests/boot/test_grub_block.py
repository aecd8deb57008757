"""GRUB and our boot script on a PC, with the environment block on FAT: what is counted in it, and what a damaged one costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from boot.lab.bare import Bare
from boot.lab.pc import Firmware, Grub
from boot.lab.stick import make_stick

LIVED = ("ORDER=B A", "A_OK=1", "A_TRY=0", "A_LEFT=2", "B_OK=1", "B_TRY=0", "B_LEFT=1", "OTA_TRIAL=B,7,abc")
RUBBISH = bytes(range(256)) * 4


def block(*lines: str) -> bytes:
    return "\n".join(["# GRUB Environment Block", *lines, ""]).encode().ljust(1024, b"#")


@pytest.fixture
def machine(tmp_path: Path) -> Bare:
    return Bare(tmp_path, Grub())


@pytest.mark.parametrize("firmware", ["seabios", "ovmf"])
def test_each_boot_is_counted_under_either_firmware(tmp_path: Path, firmware: Firmware) -> None:
    machine = Bare(tmp_path, Grub(firmware=firmware))
    assert machine.boot()[:1] == ["A"]
    assert machine.board.variables(machine.directory)["A_LEFT"] == "2"


def test_a_stick_that_uefi_counts_first_is_not_taken_for_the_disk(tmp_path: Path) -> None:
    machine = Bare(tmp_path, Grub(firmware="ovmf"))
    (tmp_path / "file").write_bytes(b"no system")
    stick = make_stick(tmp_path / "stick.img", tmp_path / "file")
    drive = f"if=none,id=stick,format=raw,file={stick}"
    assert machine.boot("-drive", drive, "-device", "usb-storage,drive=stick")[:1] == ["A"]
    assert machine.board.variables(machine.directory)["A_LEFT"] == "2"


def test_the_last_boot_of_a_slot_is_noted_and_what_is_not_of_the_script_stays(machine: Bare) -> None:
    machine.board.put_copy(machine.directory, 0, block(*LIVED))
    assert machine.boot()[:2] == ["B", "A"]
    found = machine.board.variables(machine.directory)
    assert {name: found[name] for name in ("ORDER", "B_LEFT", "B_TRY", "A_LEFT", "OTA_TRIAL")} == {
        "ORDER": "B A", "B_LEFT": "0", "B_TRY": "1", "A_LEFT": "1", "OTA_TRIAL": "B,7,abc",
    }  # fmt: skip


@pytest.mark.req("S08")
def test_with_a_block_that_is_rubbish_all_slots_are_tried_and_the_block_stays_for_the_agent(machine: Bare) -> None:
    machine.board.put_copy(machine.directory, 0, RUBBISH)
    assert machine.boot()[:2] == ["A", "B"]
    with pytest.raises(LookupError):
        machine.board.variables(machine.directory)


@pytest.mark.req("S08")
def test_of_a_torn_block_that_part_counts_that_was_written_and_it_stays_for_the_agent(machine: Bare) -> None:
    whole = block(*LIVED)
    machine.board.put_copy(machine.directory, 0, whole[:512] + RUBBISH[:512])
    assert machine.boot()[:2] == ["B", "A"]
    assert machine.board.variables(machine.directory)["B_LEFT"] == "1", "GRUB stores nothing into it"
