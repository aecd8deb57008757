"""A board that U-Boot really boots: slots on a disk, the environment in a file on it, kernels that reset or switch off.

Here the script runs with its own commands for loading and starting. Only ``saveenv`` is replaced: the environment of
Debian's build lies in the flash of QEMU's machine, which QEMU 7.2 cannot write to.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.arm_kernel import kernel
from support.uboot_machine import flash_image, machine, script_image

import bootloader_env
from bootloader_env.choose import open_env

SCRIPT = Path(bootloader_env.__file__).with_name("scripts") / "boot.cmd"
MIB = 1024 * 1024
SIZE = 0x4000  # bytes of the environment
VARIABLES = "BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT OTA_TRIAL"
SETTINGS = f"""\
bootdelay=-2
kernel_addr_r=0x40400000
bootcmd=virtio scan; load virtio 0:1 46000000 uboot.env; env import -c 46000000 {SIZE:x} {VARIABLES}; \
load virtio 0:1 44000000 boot.scr; source 44000000
ota_save=env export -c -s {SIZE:x} 46000000 {VARIABLES}; fatwrite virtio 0:1 46000000 uboot.env {SIZE:x}
ota_medium=virtio 0
ota_rescue=R
ota_part_R=4
"""
STARTS = {"boot": 1, "A": 17, "B": 25, "R": 33}  # MiB


class BoardDisk:
    """A disk with a partition for the script and the environment, and one for each slot and the rescue system."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.image = directory, directory / "disk.img"
        with self.image.open("wb") as file:
            file.truncate(42 * MIB)
        ends = [*list(STARTS.values())[1:], 41]
        table = "".join(f"{start}MiB,{end - start}MiB,c\n" for start, end in zip(STARTS.values(), ends, strict=True))
        subprocess.run(["sfdisk", "-q", self.image], input=f"label: dos\n{table}", text=True, check=True)
        for start, end in zip(STARTS.values(), ends, strict=True):
            sectors = (end - start) * MIB // 1024
            subprocess.run(
                ["mkfs.vfat", "--offset", str(start * MIB // 512), self.image, str(sectors)],
                check=True, capture_output=True,
            )  # fmt: skip

    def put(self, partition: str, name: str, content: bytes) -> None:
        """Writes a file."""
        where = f"{self.image}@@{STARTS[partition]}M"
        if "/" in name:
            subprocess.run(
                ["mmd", "-i", where, "-D", "s", f"::/{name.split('/')[0]}"], check=False, capture_output=True
            )
        subprocess.run(["mcopy", "-o", "-i", where, "-", f"::/{name}"], input=content, check=True)

    def get(self, partition: str, name: str) -> bytes:
        """Reads a file."""
        where = f"{self.image}@@{STARTS[partition]}M"
        return subprocess.run(["mcopy", "-i", where, f"::/{name}", "-"], check=True, capture_output=True).stdout


@pytest.fixture
def disk(tmp_path: Path) -> BoardDisk:
    made = BoardDisk(tmp_path)
    (tmp_path / "first.txt").write_text("BOOT_ORDER=A B\nBOOT_A_LEFT=2\nBOOT_B_LEFT=3\n")
    environment = tmp_path / "uboot.env"
    subprocess.run(["mkenvimage", "-s", hex(SIZE), "-o", environment, tmp_path / "first.txt"], check=True)
    made.put("boot", "uboot.env", environment.read_bytes())
    made.put("boot", "boot.scr", script_image(SCRIPT, tmp_path / "boot.scr").read_bytes())
    return made


def powered(disk: BoardDisk) -> list[str]:
    """Switches the board on until it switches itself off; returns the words that the kernels said."""
    flash = flash_image(disk.directory, SETTINGS)
    done = subprocess.run(
        machine(
            "-drive", f"if=pflash,index=1,format=raw,readonly=on,file={flash}",
            "-drive", f"if=none,id=disk,format=raw,file={disk.image}", "-device", "virtio-blk-pci,drive=disk",
        ),
        stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    return re.findall(r"<(\w+)>", done.stdout.decode("latin-1"))


@pytest.mark.timeout(150)
@pytest.mark.req("S07", "S08")
def test_a_board_walks_from_a_crashing_slot_to_the_rescue_system_and_to_the_new_one(disk: BoardDisk) -> None:
    disk.put("A", "boot/Image", kernel("<A>", then_reset=True))
    disk.put("R", "boot/Image", kernel("<R>", then_reset=False))

    assert powered(disk) == ["A", "A", "R"], "A has two boots, B has no kernel"

    environment, config = disk.directory / "uboot.env", disk.directory / "fw_env.config"
    environment.write_bytes(disk.get("boot", "uboot.env"))
    config.write_text(f"{environment} 0x0 {SIZE:#x}\n")
    printed = subprocess.run(["fw_printenv", "-c", config], capture_output=True, text=True, check=True).stdout
    assert set(printed.splitlines()) == {"BOOT_ORDER=A B", "BOOT_A_LEFT=0", "BOOT_B_LEFT=2"}

    agent = open_env(
        "uboot", bootnames=("A", "B"), rescue=("R",), env_config=str(config), grubenv="", attempts=3,
        attempts_primary=3, allow_single=True, lock=str(disk.directory / "lock"),
    )  # fmt: skip
    agent.revert("B", "R")
    agent.activate("B", fallback="R", trial="B,7,abc")
    disk.put("boot", "uboot.env", environment.read_bytes())
    disk.put("B", "boot/Image", kernel("<B>", then_reset=False))

    assert powered(disk) == ["B"]

    environment.write_bytes(disk.get("boot", "uboot.env"))
    state = agent.read()
    assert (state.order, state.trial, state.slots["B"].attempts) == (("B", "A"), "B,7,abc", 2)
