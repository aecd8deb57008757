"""A board without systems: its bootloader tries one slot after the other, and what it makes of its environment is seen soon."""

from __future__ import annotations

import re
from pathlib import Path

from boot.lab.boards import Board
from boot.lab.vm import VM, blocks

_TRIED = re.compile(r"^OTA: booting slot (\w+)", re.MULTILINE)


class Bare:
    """The board, switched off.

    Args:
        directory: for its disks.
        board: what it is.
    """

    def __init__(self, directory: Path, board: Board) -> None:
        self.directory, self.board = directory, board
        board.make(directory, {})

    def boot(self, *more: str) -> list[str]:
        """Switches it on until it resets; returns the slots in the order in which they were tried. ``more`` is for QEMU."""
        drives = [word for name in self.board.images for word in blocks(self.directory / f"{name}.img", name)]
        with VM(self.directory / "vm", [*self.board.command(), *drives]) as vm:
            begin = len(vm.console.text)
            vm.start(*more)
            vm.wait_reset(0)
            return _TRIED.findall(vm.console.text[begin:])
