"""U-Boot runs ``boot.cmd`` over every interesting environment; ``agent.demo.bootlogic`` says the same, case by case."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boot_cases import Case, uboot_cases, violations
from support.uboot_machine import Seen, run_all

import bootloader_env
from agent.demo import bootlogic

SCRIPT = Path(bootloader_env.__file__).with_name("scripts") / "boot.cmd"
CASES = uboot_cases()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    return run_all(SCRIPT, CASES, tmp_path_factory.mktemp("uboot"))


def expected(case: Case) -> bootlogic.Run:
    return bootlogic.uboot(case.variables, case.bootnames, case.rescue, case.failing)


@pytest.mark.timeout(300)
@pytest.mark.req("S07", "S08")
def test_uboot_and_the_model_agree_on_every_environment(seen: list[Seen]) -> None:
    assert len(CASES) > 1500
    wrong = [
        (case, each.run, expected(case)) for case, each in zip(CASES, seen, strict=True) if each.run != expected(case)
    ]
    assert not wrong, f"{len(wrong)} of {len(CASES)}, such as {wrong[0]}"


@pytest.mark.timeout(150)
def test_a_machine_of_32_bits_says_the_same(seen: list[Seen], tmp_path: Path) -> None:
    assert [each.run for each in run_all(SCRIPT, CASES[::4], tmp_path, width=32)] == [each.run for each in seen[::4]]


@pytest.mark.req("S08")
def test_every_environment_leads_to_a_start_or_to_new_attempts(seen: list[Seen]) -> None:
    broken = [(case, found) for case, each in zip(CASES, seen, strict=True) if (found := violations(case, each.run))]
    assert not broken, f"{len(broken)} of {len(CASES)}, such as {broken[0]}"


def test_nothing_of_the_script_is_stored_with_the_environment(seen: list[Seen]) -> None:
    assert not [(case, each.left_over) for case, each in zip(CASES, seen, strict=True) if each.left_over]


def test_the_kernel_is_told_its_slot_and_nothing_of_the_one_that_did_not_start(seen: list[Seen]) -> None:
    for case, each in zip(CASES, seen, strict=True):
        name = each.run.tries[-1].bootname if each.run.tries else ""
        if name:
            number = {"A": 2, "B": 3, "C": 4, "R": 1}[name]
            words = f"ro rootwait root=/dev/mmcblk0p{number} rauc.slot={name} ota.slot={name}"
            assert each.arguments == words, case
