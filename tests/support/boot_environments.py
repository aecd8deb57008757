"""Real boot environments in files, of both kinds, and a crash of the write to them."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bootloader_env.fwenv_config import Copy
from bootloader_env.grub import GrubStore
from bootloader_env.order import GrubDialect, Rules, UbootDialect
from bootloader_env.uboot import UbootStore
from bootloader_env.variables import VariableEnv

SIZE = 0x2000  # bytes of one copy of the U-Boot environment
SECTOR = 512
NAMES = ("A", "B")


def make_uboot(folder: Path, text: str = "bootcmd=run distro\n", size: int = SIZE) -> tuple[Copy, Copy]:
    """Makes a file with two copies by mkenvimage, a fw_env.config beside it, and returns where the copies are."""
    image = folder / "env.bin"
    (folder / "env.txt").write_text(text)
    argv = ["mkenvimage", "-r", "-s", hex(size), "-o", str(image), str(folder / "env.txt")]
    subprocess.run(argv, check=True, capture_output=True)
    image.write_bytes(image.read_bytes() * 2)
    (folder / "fw_env.config").write_text(f"{image} 0x0 {size:#x}\n{image} {size:#x} {size:#x}\n")
    return Copy(str(image), 0, size), Copy(str(image), size, size)


def uboot_store(folder: Path, **options: object) -> UbootStore:
    """Makes an environment and opens it."""
    return UbootStore(make_uboot(folder), lock=str(folder / "lock"), **options)  # type: ignore[arg-type]  # keywords only


def make_grub(folder: Path) -> Path:
    """Makes a block with grub-editenv."""
    path = folder / "grubenv"
    subprocess.run(["grub-editenv", str(path), "create"], check=True, capture_output=True)
    return path


def boot_env(kind: str, folder: Path) -> VariableEnv:
    """Makes a boot environment of the kind ``uboot``, ``grub`` or ``grub-in-place`` for slots A and B."""
    if kind == "uboot":
        return VariableEnv(uboot_store(folder), Rules(NAMES, UbootDialect(3, 2)))
    return VariableEnv(GrubStore(str(make_grub(folder)), in_place=kind != "grub"), Rules(NAMES, GrubDialect()))


def torn(old: bytes, new: bytes, chooser: random.Random, subsets: int) -> Iterator[bytes]:
    """Yields what a power cut in the write of ``new`` over ``old`` can leave: prefixes and subsets of sectors."""
    count = -(-len(old) // SECTOR)
    for done in range(count + 1):
        yield new[: done * SECTOR] + old[done * SECTOR :]
    for _ in range(subsets):
        state = bytearray(old)
        for sector in chooser.sample(range(count), chooser.randrange(count + 1)):
            where = slice(sector * SECTOR, (sector + 1) * SECTOR)
            state[where] = new[where]
        yield bytes(state)
