"""The boards that scenarios are asked of. Whoever adds one, adds a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from boot.lab.arm import UBootFat, UBootRedundant
from boot.lab.boards import Board

KINDS: Mapping[str, Callable[..., Board]] = {
    "uboot-fat": UBootFat,
    "uboot-redundant": UBootRedundant,
}
