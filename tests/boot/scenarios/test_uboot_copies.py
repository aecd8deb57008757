"""U-Boot with a redundant environment on an SD card, our boot script and ``saveenv``: what it makes of damaged copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from boot.lab.arm import UBootRedundant
from boot.lab.bare import Bare
from boot.lab.environment import decode

RUBBISH = bytes(range(256)) * 256


@pytest.fixture
def machine(tmp_path: Path) -> Bare:
    return Bare(tmp_path, UBootRedundant())


def test_each_save_goes_to_the_copy_that_does_not_count(machine: Bare) -> None:
    before = machine.board.copies(machine.directory)
    assert machine.boot() == ["A"]
    after = machine.board.copies(machine.directory)
    assert [one != other for one, other in zip(before, after, strict=True)].count(True) >= 1
    assert decode(after, redundant=True)["BOOT_ORDER"] == "A"


@pytest.mark.parametrize("damaged", [0, 1])
@pytest.mark.req("S08")
def test_one_damaged_copy_costs_nothing(machine: Bare, damaged: int) -> None:
    machine.board.put_copy(machine.directory, damaged, RUBBISH)
    assert machine.boot() == ["A"]
    assert machine.board.variables(machine.directory)["BOOT_ORDER"] == "A"


@pytest.mark.req("S08")
def test_without_any_whole_copy_the_defaults_count_and_all_slots_are_tried(machine: Bare) -> None:
    for number in (0, 1):
        machine.board.put_copy(machine.directory, number, RUBBISH)
    assert machine.boot() == ["A", "B"]
    assert machine.board.variables(machine.directory)["BOOT_ORDER"] == "A B"
