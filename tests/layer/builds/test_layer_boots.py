"""The disk as it was built, in QEMU: the firmware finds the bootloader, and that chooses, counts and starts slots.

The kernel is real, the root file system has no programs in it. So what a slot is given is read from the kernel's first lines,
and then the power fails.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from boot.lab.vm import VM, blocks

from bootloader_env import grub_format, uboot_format
from layer.builds.products import Products
from layer.builds.wic_board import WicBoard


class Booted:
    """The machine, and the environment on its disk while it is off."""

    def __init__(self, products: Products, directory: Path) -> None:
        self.products, self.board, self._directory = products, WicBoard(products), directory
        self._disk = products.copy_of_disk(directory / "disk.img")
        self.vm = VM(directory / "vm", [*self.board.command(), *blocks(self._disk, "disk")])

    def boots(self) -> tuple[str, str]:
        """Switches it on, and off when the kernel runs; returns the slot, and the root that the kernel was told."""
        self.vm.start()
        try:
            self.vm.console.expect(r"OTA: booting slot (\w+)", 600)
            found = self.vm.console.expect(r"command line: (?:.*\s)?root=PARTUUID=(\S+) .*ota\.slot=(\w+)", 900)
        finally:
            self.vm.cut()
        return found[2], found[1]

    @property
    def environment(self) -> Mapping[str, str]:
        """What the bootloader has stored."""
        return self.board.variables(self._directory)

    def store(self, changes: Mapping[str, str]) -> None:
        """Changes the environment, as an agent would have done."""
        raw = self.board.copies(self._directory)[0]
        values = {**self.environment, **changes}
        if self.board.grub:
            raw = grub_format.encode(grub_format.edited(grub_format.decode(raw), values), len(raw))
        else:
            copy = uboot_format.decode(raw, redundant=False)
            assert copy is not None
            raw = uboot_format.encode(uboot_format.edited(copy.entries, values), len(raw), flags=None)
        self.board.put_copy(self._directory, 0, raw)

    def install(self, label: str) -> None:
        """Writes the image of the bundle into a slot."""
        with self._disk.open("r+b") as disk, self.products.image.open("rb") as image:
            disk.seek(self.board.layout.offset(label))
            shutil.copyfileobj(image, disk)


@pytest.fixture
def device(products: Products, tmp_path: Path) -> Iterator[Booted]:
    found = Booted(products, tmp_path)
    with found.vm:
        yield found


def test_a_new_device_boots_its_first_slot_and_counts_the_boot(device: Booted) -> None:
    before = device.environment
    assert device.boots() == ("A", device.products.variables["OTA_AB_UUID_A"])
    after = device.environment
    assert after != before
    assert (after["A_TRY"], after["B_OK"]) == ("1", "0") if device.board.grub else after["BOOT_A_LEFT"] == "2"


def test_an_updated_slot_is_tried_as_often_as_the_agent_allows_and_then_the_old_one_boots(device: Booted) -> None:
    get = device.products.variables
    device.install(get["OTA_AB_LABEL_B"])
    if device.board.grub:
        device.store({"ORDER": "B A", "B_OK": "1", "B_TRY": "0", "B_LEFT": "2"})
    else:
        device.store({"BOOT_ORDER": "B A", "BOOT_B_LEFT": "2"})
    assert [device.boots() for _ in range(3)] == [
        ("B", get["OTA_AB_UUID_B"]), ("B", get["OTA_AB_UUID_B"]), ("A", get["OTA_AB_UUID_A"]),
    ]  # fmt: skip
