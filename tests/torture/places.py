"""Where each board keeps its environment, as the replay must know it."""

from __future__ import annotations

from dataclasses import dataclass

from boot.lab import uboot
from boot.lab.boards import Board

from torture.medium import Region
from torture.story import Copy, Drive

_CARD = Region("card", 0, 16 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Places:
    """See ``Story``: format of the environment, its copies, the drives."""

    format: str
    copies: tuple[Copy, ...]
    drives: tuple[Drive, ...]


def places(board: Board) -> Places:
    """Of a board.

    Raises:
        KeyError: it is not known here.
    """
    disk = Drive("disk")
    if board.name == "uboot-redundant":
        copies = tuple(Copy("card", offset, uboot.COPY_SIZE) for offset in uboot.COPIES)
        # A card says that a write is done when it is; QEMU's has no cache that could be flushed.
        return Places("uboot-redundant", copies, (disk, Drive("card", cached=False, regions=(_CARD,))))
    if board.name == "uboot-fat":
        names = ("uboot.env", "ubootbak.env")
        return Places("uboot", tuple(Copy("boot", 0, 0x4000, name) for name in names), (disk,))
    if board.name.startswith("grub"):
        return Places("grub", (Copy("boot", 0, 1024, "grub/grubenv"),), (disk,))
    raise KeyError(board.name)
