"""Flash memory for mtd-utils and mmc-utils as they are installed, on a machine whose kernel has none.

``device_simulator.c`` is between a program and the kernel. The memory itself is files in a folder: ``mtdN`` is a node of
the right kind, ``mtdN.data`` what the chip holds, ``mtdN.bad`` one byte for each block.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from slots import programs

SOURCE = Path(__file__).with_name("device_simulator.c")
BLOCK = 16 * 1024
PAGE = 512
MARKED, WORN = 1, 2  # a bad block that is known to be bad, and one that only shows when it is written


@dataclass(frozen=True)
class Lab:
    """``root`` stands for DEVICES."""

    root: Path

    @property
    def sysfs(self) -> str:
        return str(self.root / "sys")

    @property
    def proc(self) -> str:
        return str(self.root / "proc")

    def memory(self, number: int, kind: str, blocks: int, bad: dict[int, int] | None = None) -> Path:
        """Makes a chip that has been used before; gives its node."""
        nand = kind in ("nand", "mlc-nand")
        states = bytearray(max(blocks, 4096))
        for block, state in (bad or {}).items():
            states[block] = state
        node = self.root / f"mtd{number}"
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(90, 2 * number))
        (self.root / f"mtd{number}.data").write_bytes(b"\x5a" * (blocks * BLOCK))
        (self.root / f"mtd{number}.bad").write_bytes(states)
        folder = self.root / f"sys/class/mtd/mtd{number}"
        folder.mkdir(parents=True)
        facts = {
            "name": f"part{number}", "type": kind, "dev": f"90:{2 * number}", "size": blocks * BLOCK, "erasesize": BLOCK,
            "writesize": PAGE if nand else 1, "subpagesize": PAGE if nand else 1, "oobsize": 16 if nand else 0,
            "numeraseregions": 0, "flags": "0x400",
        }  # fmt: skip
        for name, value in facts.items():
            (folder / name).write_text(f"{value}\n")
        return node

    def say(self, number: int, name: str, value: object) -> None:
        (self.root / f"sys/class/mtd/mtd{number}/{name}").write_text(f"{value}\n")

    def data(self, number: int) -> bytes:
        return (self.root / f"mtd{number}.data").read_bytes()

    def bad(self, number: int) -> list[int]:
        states = (self.root / f"mtd{number}.bad").read_bytes()
        return [block for block, state in enumerate(states) if state == MARKED]

    def mounted(self, line: str) -> None:
        """A further line of /proc/self/mountinfo."""
        with (self.root / "proc/self/mountinfo").open("a") as table:
            table.write(line + "\n")

    @contextmanager
    def open_chip(self, node: str, *, writable: bool) -> Iterator[MemoryChip]:
        """What ``slots.handlers.flash.open_chip`` is, for a chip of the lab."""
        yield MemoryChip(Path(f"{node}.data"), (Path(f"{node}.bad")).read_bytes())


class MemoryChip:
    """A Chip by the rules of the simulator: programming makes bits zero, never one."""

    def __init__(self, data: Path, states: bytes) -> None:
        self._data, self._states = data, states

    def lock(self) -> None:
        pass

    def bad(self, offset: int) -> bool:
        assert offset % BLOCK == 0
        return self._states[offset // BLOCK] == MARKED

    def write(self, offset: int, data: bytes) -> int:
        if self._states[offset // BLOCK]:
            raise OSError(5, os.strerror(5))
        with self._data.open("r+b") as file:
            file.seek(offset)
            held = file.read(min(len(data), BLOCK - offset % BLOCK))
            file.seek(offset)
            return file.write(bytes(old & new for old, new in zip(held, data, strict=False)))

    def read(self, offset: int, length: int) -> bytes:
        with self._data.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def lab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab in a folder; programs started by ``slots.programs`` are in it until the test ends."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/mountinfo").write_text("")
    (folder / "proc/swaps").write_text("Filename Type Size Used Priority\n")
    (folder / "sys/class/mtd").mkdir(parents=True)
    for name, value in environment(folder).items():
        monkeypatch.setitem(programs.ENVIRONMENT, name, value)
    return Lab(folder)


def environment(folder: Path) -> dict[str, str]:
    """What a program needs to be in the lab of a folder."""
    return {"LD_PRELOAD": f"{_built().name}/simulator.so", "DEVICES": str(folder)}


@cache
def _built() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory()
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-w", "-o", f"{folder.name}/simulator.so", SOURCE], check=True)
    return folder
