"""The boards that scenarios are asked of. Whoever adds one, adds a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from boot.lab.arm import UBootFat, UBootRedundant
from boot.lab.boards import Board
from boot.lab.pc import Grub

KINDS: Mapping[str, Callable[..., Board]] = {
    "uboot-fat": UBootFat,
    "uboot-redundant": UBootRedundant,
    "grub-seabios": Grub,
    "grub-ovmf": partial(Grub, firmware="ovmf"),
}
