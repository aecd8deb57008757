"""What the boot environment of a board offers when it leaves the factory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from boot.lab.boards import LABELS, Board
from boot.lab.kinds import KINDS

ONE = {
    "uboot": {"BOOT_ORDER": "A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "0"},
    "grub": {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "A_LEFT": "3", "B_OK": "0", "B_TRY": "0"},
}
BOTH = {
    "uboot": {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"},
    "grub": {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "A_LEFT": "3", "B_OK": "1", "B_TRY": "0", "B_LEFT": "3"},
}


def made(board: Board, directory: Path, *filled: str) -> Mapping[str, str]:
    (directory / "system").write_bytes(b"a system")
    board.make(directory, {LABELS[name]: directory / "system" for name in filled})
    return board.variables(directory)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slot_is_offered_when_the_factory_has_filled_it(tmp_path: Path, kind: str) -> None:
    family = kind.partition("-")[0]
    assert made(KINDS[kind](), tmp_path, "A") == ONE[family]
    assert made(KINDS[kind](), tmp_path, "A", "B") == BOTH[family]
