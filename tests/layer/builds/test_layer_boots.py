"""The disk as it was built, in QEMU: the firmware finds the bootloader, and that chooses, counts and starts slots.

The kernel is real, the root file system has no programs in it. So what a slot is given is read from the kernel's first lines,
and then the power fails.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from boot.lab.vm import VM, drive

from bootloader_env import grub_format, uboot_format
from layer.builds.products import SECTOR, Products

OVMF = Path("/usr/share/OVMF")
UBOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"


class Board:
    """The machine, and the environment on its disk while it is off."""

    def __init__(self, products: Products, directory: Path) -> None:
        self.products, self.grub = products, products.machine == "qemux86-64"
        self.disk = products.copy_of_disk(directory / "disk.wic")
        self.file = "EFI/BOOT/grubenv" if self.grub else products.variables["OTA_UBOOT_ENV_FILE"]
        if self.grub:
            shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", directory / "vars.fd")
            command = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "512"]
            for file, only in ((OVMF / "OVMF_CODE_4M.fd", "on"), (directory / "vars.fd", "off")):
                command += ["-drive", f"if=pflash,format=raw,readonly={only},file={file}"]
        else:
            command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "512", "-bios", UBOOT]
        self.vm = VM(directory / "vm", [*command, *drive(self.disk)])

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
    def environment(self) -> dict[str, str]:
        """What the bootloader has stored."""
        raw = subprocess.run(["mtype", "-i", self._at, f"::{self.file}"], check=True, capture_output=True).stdout
        if self.grub:
            return dict(grub_format.variables(grub_format.decode(raw)))
        copy = uboot_format.decode(raw, redundant=False)
        assert copy is not None
        return dict(uboot_format.variables(copy.entries))

    def store(self, changes: dict[str, str], scratch: Path) -> None:
        """Changes the environment, as an agent would have done."""
        values = {**self.environment, **changes}
        if self.grub:
            raw = grub_format.encode(grub_format.edited(grub_format.decode(self._raw()), values), 1024)
        else:
            copy = uboot_format.decode(self._raw(), redundant=False)
            assert copy is not None
            raw = uboot_format.encode(uboot_format.edited(copy.entries, values), len(self._raw()), flags=None)
        file = scratch / "environment"
        file.write_bytes(raw)
        subprocess.run(["mcopy", "-o", "-i", self._at, file, f"::{self.file}"], check=True)

    def install(self, label: str) -> None:
        """Writes the image of the bundle into a slot."""
        place = self.products.partitions[label]
        with self.disk.open("r+b") as disk, self.products.image.open("rb") as image:
            disk.seek(place["start"] * SECTOR)
            shutil.copyfileobj(image, disk)

    @property
    def _at(self) -> str:
        return f"{self.disk}@@{self.products.partitions['boot']['start'] * SECTOR}"

    def _raw(self) -> bytes:
        return subprocess.run(["mtype", "-i", self._at, f"::{self.file}"], check=True, capture_output=True).stdout


@pytest.fixture
def board(products: Products, tmp_path: Path) -> Iterator[Board]:
    found = Board(products, tmp_path)
    with found.vm:
        yield found


def test_a_new_device_boots_its_first_slot_and_counts_the_boot(board: Board) -> None:
    before = board.environment
    assert board.boots() == ("A", board.products.variables["OTA_AB_UUID_A"])
    after = board.environment
    assert after != before
    assert (after["A_TRY"], after["B_OK"]) == ("1", "0") if board.grub else after["BOOT_A_LEFT"] == "2"


def test_an_updated_slot_is_tried_as_often_as_the_agent_allows_and_then_the_old_one_boots(
    board: Board, tmp_path: Path
) -> None:
    get = board.products.variables
    board.install(get["OTA_AB_LABEL_B"])
    if board.grub:
        board.store({"ORDER": "B A", "B_OK": "1", "B_TRY": "0", "B_LEFT": "2"}, tmp_path)
    else:
        board.store({"BOOT_ORDER": "B A", "BOOT_B_LEFT": "2"}, tmp_path)
    assert [board.boots() for _ in range(3)] == [
        ("B", get["OTA_AB_UUID_B"]), ("B", get["OTA_AB_UUID_B"]), ("A", get["OTA_AB_UUID_A"]),
    ]  # fmt: skip
