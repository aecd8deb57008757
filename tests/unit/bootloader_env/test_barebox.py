"""What is particular to barebox; the rest is in the contract of all bootloaders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.loaders import Barebox


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Barebox]:
    made = Barebox(tmp_path)
    yield made
    made.close()


def priorities(board: Barebox, *values: int) -> None:
    """As another program leaves them."""
    pairs = zip(board.names, values, strict=True)
    board.tool(*(word for name, value in pairs for word in ("-s", f"bootstate.{name}.priority={value}")))


@pytest.mark.req("S08")
def test_a_healthy_boot_becomes_the_choice_again_when_no_slot_would_boot(board: Barebox) -> None:
    board.power_on()
    priorities(board, 0, 0)
    board.open("A").mark_good("A")
    assert board.open("A").read().order == ("A",)
    assert board.power_on() == "A"


def test_a_healthy_boot_that_was_taken_out_stays_out_while_another_slot_boots(board: Barebox) -> None:
    board.power_on()
    priorities(board, 0, 10)
    board.open("A").mark_good("A")
    assert board.open("A").read().order == ("B",)
