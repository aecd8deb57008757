"""The bootloader's side: which slot is chosen, from which copy of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.demo.bootscript import COPY_SIZE, Flash, Script, choose

NAMES = ("A", "B")
DEFAULTS = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}


def env(order: str, a: str, b: str) -> dict[str, str]:
    return {"BOOT_ORDER": order, "BOOT_A_LEFT": a, "BOOT_B_LEFT": b}


@pytest.mark.parametrize(
    ("variables", "bootname", "left", "refilled"),
    [
        (env("A B", "3", "3"), "A", 2, False),
        (env("B A", "3", "3"), "B", 2, False),
        (env("A B", "1", "3"), "A", 0, False),
        (env("A B", "0", "3"), "B", 2, False),
        (env("B A", "2", "0"), "A", 1, False),
        (env("A", "0", "3"), "A", 2, True),
        (env("A B", "0", "0"), "A", 2, True),
        (env("B A", "0", "0"), "B", 2, True),
        (env("A B", "1f", "3"), "A", 30, False),
        (env("A B", "10", "3"), "A", 15, False),
        (env("C A", "2", "2"), "A", 1, False),
        (env("", "2", "2"), "A", 1, False),
        ({}, "A", 2, False),
        ({"BOOT_ORDER": "B A"}, "B", 2, False),
    ],
)
@pytest.mark.parametrize("script", ["ota", "rauc"])
def test_the_first_slot_of_the_order_with_attempts_left_boots(
    variables: dict[str, str], bootname: str, left: int, refilled: bool, script: Script
) -> None:
    choice = choose(variables, NAMES, script)

    assert choice is not None
    assert (choice.bootname, choice.left, choice.refilled) == (bootname, left, refilled)
    assert choice.variables[f"BOOT_{bootname}_LEFT"] == f"{left:x}"


@pytest.mark.parametrize(("script", "bootname"), [("ota", "A"), ("rauc", "B")])
def test_a_counter_that_is_no_number_is_a_full_one_for_our_script_and_none_for_raucs(
    script: Script, bootname: str
) -> None:
    choice = choose(env("A B", "no number", "2"), NAMES, script)
    assert choice is not None
    assert choice.bootname == bootname


def test_an_attempt_is_taken_from_the_chosen_slot_only() -> None:
    choice = choose({**env("B A", "3", "2"), "OTA_TRIAL": "B,7,abc", "bootcmd": "run it"}, NAMES)

    assert choice is not None
    assert choice.variables == {**env("B A", "3", "1"), "OTA_TRIAL": "B,7,abc", "bootcmd": "run it"}


def test_an_order_without_a_known_slot_is_mended_by_our_script_and_the_end_with_raucs() -> None:
    choice = choose(env("C D", "0", "3"), NAMES)
    assert choice is not None
    assert (choice.bootname, choice.variables["BOOT_ORDER"]) == ("B", "A B")
    assert choose(env("C D", "3", "3"), NAMES, "rauc") is None


@pytest.mark.req("S08")
def test_a_slot_that_was_taken_out_of_the_order_gets_no_new_attempts() -> None:
    choice = choose(env("A", "0", "0"), NAMES)
    assert choice is not None
    assert choice.refilled
    assert choice.variables == env("A", "2", "0")


def test_the_rescue_system_boots_before_any_slot_gets_new_attempts_and_nothing_is_written() -> None:
    choice = choose(env("A B", "0", "0"), NAMES, rescue="R")
    assert choice is not None
    assert (choice.bootname, choice.refilled, choice.saves) == ("R", False, 0)


def test_a_slot_that_cannot_be_loaded_is_passed_over_at_once() -> None:
    choice = choose(env("B A", "3", "3"), NAMES, failing=("B",))
    assert choice is not None
    assert (choice.bootname, choice.variables) == ("A", env("B A", "2", "2"))


def test_when_nothing_can_be_loaded_the_device_is_dead() -> None:
    assert choose(env("A B", "3", "f"), NAMES, rescue="R", failing=("A", "B", "R")) is None


def test_three_failed_boots_of_a_slot_lead_to_the_other() -> None:
    variables = env("B A", "3", "3")
    chosen = []
    for _ in range(4):
        choice = choose(variables, NAMES)
        assert choice is not None
        chosen.append(choice.bootname)
        variables = dict(choice.variables)

    assert chosen == ["B", "B", "B", "A"]


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    made = Flash(tmp_path / "env", DEFAULTS)
    made.format({"name": "factory"})
    return made


def damage(flash: Flash, copy: int) -> None:
    data = bytearray(flash.path.read_bytes())
    data[copy * COPY_SIZE + 9] ^= 1
    flash.path.write_bytes(data)


def test_a_save_goes_to_the_copy_that_is_not_in_use(flash: Flash) -> None:
    used = []
    for number in range(4):
        flash.save({"number": str(number)})
        assert flash.load().variables == {"number": str(number)}
        used.append(flash.load().copy)

    assert used == [1, 0, 1, 0]


def test_the_generation_runs_over_without_losing_the_newest(flash: Flash) -> None:
    for number in range(600):
        flash.save({"number": str(number)})
        assert flash.load().variables == {"number": str(number)}


@pytest.mark.parametrize("saves", [1, 2])
def test_of_a_damaged_copy_the_other_is_taken(flash: Flash, saves: int) -> None:
    for number in range(saves):
        flash.save({"number": str(number)})
    before = {"name": "factory"} if saves == 1 else {"number": "0"}

    damage(flash, flash.load().copy or 0)

    assert flash.load().variables == before
    flash.save({"number": "again"})
    assert flash.load().variables == {"number": "again"}


def test_without_a_whole_copy_the_compiled_in_environment_is_taken(flash: Flash) -> None:
    damage(flash, 0)
    damage(flash, 1)

    assert flash.load().copy is None
    assert flash.load().variables == DEFAULTS


def test_a_torn_file_is_no_copy(flash: Flash) -> None:
    flash.save({"number": "1"})
    flash.path.write_bytes(flash.path.read_bytes()[: COPY_SIZE + 100])

    assert flash.load().variables == {"name": "factory"}


def test_an_environment_that_does_not_fit_is_refused(flash: Flash) -> None:
    with pytest.raises(ValueError, match="full"):
        flash.save({"much": "x" * COPY_SIZE})
    assert flash.load().variables == {"name": "factory"}
