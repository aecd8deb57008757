"""Debian's U-Boot and our boot script with an environment that is a file on FAT: what is left of it when a file is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from boot.lab.arm import UBootFat
from boot.lab.bare import Bare
from boot.lab.environment import decode, encode

LIVED = {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "2", "BOOT_B_LEFT": "3", "OTA_TRIAL": "B,7,abc"}
LIVED_COPY = encode(LIVED, 0x4000, redundant=False)
RUBBISH = bytes(range(256)) * 64


@pytest.fixture
def machine(tmp_path: Path) -> Bare:
    return Bare(tmp_path, UBootFat())


@pytest.mark.parametrize("damaged", [0, 1])
@pytest.mark.req("S08")
def test_one_damaged_file_costs_nothing_and_is_whole_again_after_the_boot(machine: Bare, damaged: int) -> None:
    machine.board.put_copy(machine.directory, damaged, RUBBISH)
    machine.board.put_copy(machine.directory, 1 - damaged, LIVED_COPY)
    assert machine.boot()[:2] == ["B", "A"]
    both = machine.board.copies(machine.directory)
    assert decode(both[:1], redundant=False) == decode(both[1:], redundant=False)
    assert machine.board.variables(machine.directory)["OTA_TRIAL"] == "B,7,abc"


@pytest.mark.req("S08")
def test_without_any_whole_file_all_slots_are_tried_and_both_files_are_made_anew(machine: Bare) -> None:
    for number in (0, 1):
        machine.board.put_copy(machine.directory, number, RUBBISH)
    assert machine.boot()[:2] == ["A", "B"]
    assert machine.board.variables(machine.directory)["BOOT_ORDER"] == "A B"


def test_a_file_that_is_missing_counts_as_damaged(machine: Bare) -> None:
    machine.board.put_copy(machine.directory, 1, LIVED_COPY)
    machine.board.remove_copy(machine.directory, 0)
    assert machine.boot()[:2] == ["B", "A"]
    assert len(machine.board.copies(machine.directory)[0]) == 0x4000
