"""EFI variables as efibootmgr sees them: it reads and writes a directory of ours through libefivar."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import pytest
from support.loaders import Efi

from bootloader_env.efi import EfiLoader
from bootloader_env.efi_vars import EfiVars


class Tool:
    """efibootmgr on a board."""

    def __init__(self, board: Efi) -> None:
        self.environment = {**os.environ, "LIBEFIVAR_OPS": "efivarfs", "EFIVARFS_PATH": f"{board.vars}/"}

    def run(self, *argv: str) -> str:
        done = subprocess.run(
            ["efibootmgr", *argv], capture_output=True, text=True, check=True, timeout=20, env=self.environment
        )
        return done.stdout

    def seen(self) -> tuple[str, list[str], dict[str, str]]:
        """BootNext, BootOrder, and the labels of active entries by number."""
        text = self.run()
        following = re.search(r"^BootNext: (.+)$", text, re.M)
        order = re.search(r"^BootOrder: ?(.*)$", text, re.M)
        labels = dict(re.findall(r"^Boot([0-9A-F]{4})\* (\S+)", text, re.M))
        return following[1] if following else "", order[1].split(",") if order and order[1] else [], labels


@pytest.fixture
def board(tmp_path: Path) -> Efi:
    return Efi(tmp_path)


@pytest.mark.req("S02")
def test_what_we_activate_confirm_and_revert_is_what_efibootmgr_shows(board: Efi) -> None:
    tool, loader = Tool(board), EfiLoader(EfiVars(str(board.vars)), ("A", "B"))
    loader.activate("B", fallback="A", trial="")
    assert tool.seen()[:2] == ("0002", ["0001", "0002", "0003", "0000"])
    board.power_on()
    loader.confirm("B")
    assert tool.seen()[:2] == ("", ["0002", "0001", "0003", "0000"])
    loader.revert("B", "A")
    assert tool.seen()[:2] == ("", ["0001", "0003", "0000"])


@pytest.mark.parametrize("use_bootnext", [True, False])
def test_raucs_calls_of_efibootmgr_are_understood(board: Efi, use_bootnext: bool) -> None:
    tool = Tool(board)
    loader = EfiLoader(EfiVars(str(board.vars)), ("A", "B"), use_bootnext=use_bootnext)
    tool.run("--bootorder", "0001,0003,0000")  # mark B bad
    state = loader.read()
    assert (state.primary, state.slots["B"].good) == ("A", False)
    tool.run("--bootnext", "0002")  # mark B primary
    assert loader.read().order[:2] == ("B", "A")
    board.power_on()
    assert loader.read().primary == "A"
    tool.run("--bootorder", "0002,0001,0003,0000")  # mark B good
    assert loader.read().order == ("B", "A", "USB", "Setup")


def test_entries_that_efibootmgr_makes_are_found_by_their_label(board: Efi, tmp_path: Path) -> None:
    tool, loader = Tool(board), EfiLoader(EfiVars(str(board.vars)), ("A", "B", "C"))
    disk = tmp_path / "disk"
    subprocess.run(["truncate", "-s", "64M", disk], check=True)
    subprocess.run(["sgdisk", "-n", "1:2048:+32M", "-t", "1:ef00", disk], check=True, capture_output=True)
    device = subprocess.run(
        ["losetup", "-fP", "--show", disk], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        tool.run(
            "--create-only", "--disk", device, "--part", "1", "--label", "C", "--loader", r"\EFI\C\linux.efi",
            "--unicode", "root=PARTLABEL=C ro",
        )  # fmt: skip
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
    loader.activate("C", fallback="A", trial="")
    following, order, labels = tool.seen()
    assert labels[following] == "C"
    assert [labels[number] for number in order] == ["A", "C", "B", "USB", "Setup"]


def test_random_changes_by_us_and_by_efibootmgr_are_seen_alike_by_both(board: Efi) -> None:
    chooser = random.Random(7)
    tool, loader = Tool(board), EfiLoader(EfiVars(str(board.vars)), ("A", "B"))
    for _ in range(1000):
        target, other = chooser.sample(["A", "B"], 2)
        numbers = [f"{number:04X}" for number in chooser.sample(range(4), chooser.randint(1, 4))]
        kind = chooser.randrange(8)
        if kind == 0:
            loader.activate(target, fallback=other, trial="")
        elif kind == 1:
            loader.confirm(target)
        elif kind == 2:
            loader.revert(target, other)
        elif kind == 3:
            loader.mark_good(target)
        elif kind == 4:
            tool.run("--bootnext", chooser.choice(numbers))
        elif kind == 5:
            tool.run("--bootorder", ",".join(numbers))
        elif kind == 6 and board.get("BootNext"):
            tool.run("--delete-bootnext")
        elif board.get("BootOrder"):
            tool.run("--delete-bootorder")
        following, order, labels = tool.seen()
        expected = tuple(dict.fromkeys(labels[number] for number in [following, *order] if number))
        assert loader.read().order == expected
