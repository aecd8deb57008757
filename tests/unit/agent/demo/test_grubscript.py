"""GRUB's side: which menu entry is chosen, and what is left in the environment block."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.demo.grubscript import BLOCK_SIZE, GrubBlock, choose

NAMES = ("A", "B")


def env(order: str, a: str, b: str) -> dict[str, str]:
    """OK and TRY of each slot as two digits."""
    return {"ORDER": order, "A_OK": a[0], "A_TRY": a[1], "B_OK": b[0], "B_TRY": b[1]}


@pytest.mark.parametrize(
    ("before", "bootname", "after", "rescued"),
    [
        (env("A B", "10", "10"), "A", env("A B", "11", "10"), False),
        (env("B A", "10", "10"), "B", env("B A", "10", "11"), False),
        (env("B A", "10", "11"), "A", env("B A", "11", "11"), False),
        (env("B A", "10", "00"), "A", env("B A", "11", "01"), False),
        (env("B A", "11", "11"), "B", env("B A", "10", "11"), True),
        (env("B A", "11", "00"), "A", env("B A", "11", "01"), True),
        (env("C A", "10", "00"), "A", env("C A", "11", "00"), False),
    ],
)
def test_the_first_good_untried_slot_boots_and_counts_as_tried(
    before: dict[str, str], bootname: str, after: dict[str, str], rescued: bool
) -> None:
    choice = choose({**before, "OTA_TRIAL": "B,7,abc"}, NAMES)

    assert choice is not None
    assert (choice.bootname, choice.refilled) == (bootname, rescued)
    assert choice.variables == {**after, "OTA_TRIAL": "B,7,abc"}


@pytest.mark.parametrize("variables", [{}, env("A B", "00", "01"), env("C", "10", "10")])
def test_without_any_good_slot_the_device_is_dead(variables: dict[str, str]) -> None:
    assert choose(variables, NAMES) is None


def test_the_block_is_one_for_grubs_own_tool(tmp_path: Path) -> None:
    block = GrubBlock(tmp_path / "grubenv")
    block.format(env("A B", "10", "00"))
    subprocess.run(["grub-editenv", block.path, "set", "B_OK=1", "extra=some text"], check=True)
    assert block.load().variables == {**env("A B", "10", "10"), "extra": "some text"}
    block.save({"ORDER": "B A"})
    assert block.path.stat().st_size == BLOCK_SIZE
    assert (
        subprocess.run(["grub-editenv", block.path, "list"], capture_output=True, check=True).stdout == b"ORDER=B A\n"
    )


def test_what_is_no_block_is_an_empty_environment(tmp_path: Path) -> None:
    block = GrubBlock(tmp_path / "grubenv")
    block.path.write_bytes(b"ORDER=B A\n".ljust(BLOCK_SIZE, b"#"))
    assert block.load().variables == {}
