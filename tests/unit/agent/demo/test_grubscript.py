"""GRUB's side: which menu entry is chosen, and what is left in the environment block."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
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
def test_with_raucs_script_the_first_good_untried_slot_boots_and_counts_as_tried(
    before: dict[str, str], bootname: str, after: dict[str, str], rescued: bool
) -> None:
    choice = choose({**before, "OTA_TRIAL": "B,7,abc"}, NAMES, "rauc")

    assert choice is not None
    assert (choice.bootname, choice.refilled) == (bootname, rescued)
    assert choice.variables == {**after, "OTA_TRIAL": "B,7,abc"}


@pytest.mark.parametrize("variables", [{}, env("A B", "00", "01"), env("C", "10", "10")])
def test_without_any_good_slot_the_device_is_dead_with_raucs_script_and_boots_with_ours(
    variables: dict[str, str],
) -> None:
    assert choose(variables, NAMES, "rauc") is None
    choice = choose(variables, NAMES)
    assert choice is not None
    assert choice.variables["ORDER"] == "A B"


@pytest.mark.parametrize(
    ("before", "bootname", "after", "refilled"),
    [
        (env("A B", "10", "10"), "A", env("A B", "11", "10"), False),
        (env("B A", "10", "11"), "A", env("B A", "11", "11"), False),
        (env("B A", "10", "00"), "A", env("B A", "11", "00"), False),
        (env("B A", "11", "00"), "A", env("B A", "11", "00"), True),
        (env("C A", "10", "00"), "A", env("A", "11", "00"), False),
        (env("", "11", "10"), "B", env("A B", "11", "11"), False),
    ],
)
def test_our_script_touches_only_the_slot_that_boots(
    before: dict[str, str], bootname: str, after: dict[str, str], refilled: bool
) -> None:
    choice = choose({**before, "OTA_TRIAL": "B,7,abc"}, NAMES)

    assert choice is not None
    assert (choice.bootname, choice.refilled) == (bootname, refilled)
    assert choice.variables == {**after, "OTA_TRIAL": "B,7,abc"}


def test_our_script_counts_a_digit_down_and_ends_with_the_last_boot() -> None:
    variables: Mapping[str, str] = {**env("B A", "10", "10"), "B_LEFT": "3"}
    seen = []
    for _ in range(4):
        choice = choose(variables, NAMES)
        assert choice is not None
        variables = choice.variables
        seen.append((choice.bootname, choice.left, variables["B_TRY"], variables["B_LEFT"]))
    assert seen == [("B", 2, "0", "2"), ("B", 1, "0", "1"), ("B", 0, "1", "0"), ("A", 0, "1", "0")]


def test_the_rescue_system_boots_before_any_slot_gets_new_attempts_and_nothing_is_written() -> None:
    choice = choose(env("A B", "11", "00"), NAMES, rescue="R")
    assert choice is not None
    assert (choice.bootname, choice.refilled, choice.saves) == ("R", False, 0)


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
