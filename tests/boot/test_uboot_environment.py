"""Debian's U-Boot and our boot script with an environment that is a file on FAT: what is left of it when a file is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from boot.lab.arm import UBootFat
from boot.lab.environment import decode, encode
from boot.lab.vm import VM, blocks

LIVED = {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "2", "BOOT_B_LEFT": "3", "OTA_TRIAL": "B,7,abc"}
RUBBISH = bytes(range(256)) * 64


class Machine:
    """A board without systems: each slot is tried, and does not start."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.board = directory, UBootFat()
        self.board.make(directory, {})
        self.lived = encode(LIVED, 0x4000, redundant=False)

    def boot(self) -> list[str]:
        """Switches it on until it resets; returns the slots in the order in which they were tried."""
        with VM(self.directory / "vm", [*self.board.command(), *blocks(self.directory / "disk.img", "disk")]) as vm:
            begin = len(vm.console.text)
            vm.start()
            vm.wait_reset(0)
            lines = vm.console.text[begin:].splitlines()
        return [line.split()[3].rstrip(",") for line in lines if line.startswith("OTA: booting slot")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("damaged", [0, 1])
@pytest.mark.req("S08")
def test_one_damaged_file_costs_nothing_and_is_whole_again_after_the_boot(machine: Machine, damaged: int) -> None:
    machine.board.put_copy(machine.directory, damaged, RUBBISH)
    machine.board.put_copy(machine.directory, 1 - damaged, machine.lived)
    assert machine.boot()[:2] == ["B", "A"]
    both = machine.board.copies(machine.directory)
    assert decode(both[:1], redundant=False) == decode(both[1:], redundant=False)
    assert machine.board.variables(machine.directory)["OTA_TRIAL"] == "B,7,abc"


@pytest.mark.req("S08")
def test_without_any_whole_file_all_slots_are_tried_and_both_files_are_made_anew(machine: Machine) -> None:
    for number in (0, 1):
        machine.board.put_copy(machine.directory, number, RUBBISH)
    assert machine.boot()[:2] == ["A", "B"]
    assert machine.board.variables(machine.directory)["BOOT_ORDER"] == "A B"


def test_a_file_that_is_missing_counts_as_damaged(machine: Machine) -> None:
    machine.board.put_copy(machine.directory, 1, machine.lived)
    machine.board.remove_copy(machine.directory, 0)
    assert machine.boot()[:2] == ["B", "A"]
    assert len(machine.board.copies(machine.directory)[0]) == 0x4000
