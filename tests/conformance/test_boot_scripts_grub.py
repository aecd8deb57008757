"""GRUB runs ``grub.cfg`` over every interesting environment; ``agent.demo.bootlogic`` says the same, case by case."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.boot_cases import grub_cases, violations
from support.grub_machine import run_all

import bootloader_env
from agent.demo import bootlogic
from agent.demo.bootlogic import Run

SCRIPT = Path(bootloader_env.__file__).with_name("scripts") / "grub.cfg"
CASES = grub_cases()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return run_all(SCRIPT, CASES, tmp_path_factory.mktemp("grub"))


def test_grubs_own_checker_takes_the_script() -> None:
    subprocess.run(["grub-script-check", SCRIPT], check=True)


@pytest.mark.timeout(300)
@pytest.mark.req("S07", "S08")
def test_grub_and_the_model_agree_on_every_environment(seen: list[Run]) -> None:
    assert len(CASES) > 1000
    model = [bootlogic.grub(case.variables, case.bootnames, case.rescue, case.failing) for case in CASES]
    wrong = [each for each in zip(CASES, seen, model, strict=True) if each[1] != each[2]]
    assert not wrong, f"{len(wrong)} of {len(CASES)}, such as {wrong[0]}"


@pytest.mark.req("S08")
def test_every_environment_leads_to_a_start_or_to_new_attempts(seen: list[Run]) -> None:
    broken = [(case, found) for case, run in zip(CASES, seen, strict=True) if (found := violations(case, run))]
    assert not broken, f"{len(broken)} of {len(CASES)}, such as {broken[0]}"
