"""GRUB runs ``grub.cfg`` over every interesting environment; ``agent.demo.bootlogic`` says the same, case by case."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.boot_cases import Case, grub_cases, violations
from support.grub_machine import run_all, texts

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


def test_the_kernel_is_told_its_slot_and_one_that_is_missing_is_passed_over(tmp_path: Path) -> None:
    """``grub-emu`` has no command that loads a kernel, so functions stand for ``linux`` and ``initrd``."""
    board = """
set ota_grubenv="$test_block"
set ota_kernel="/vmlinuz"
set ota_initrd="/initrd"
function linux {
  echo "linux: $*"
  [ "$ota_slot" = "B" ]
}
function initrd {
  echo "initrd: $*"
}
function ota_reset {
  echo "@reset"
}
"""
    case = Case({"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "1", "B_TRY": "0"})
    (text,) = texts(SCRIPT, [case], tmp_path, board)
    said = [line for line in text.splitlines() if line.startswith(("linux: ", "initrd: ", "@reset"))]
    assert said == [
        "linux: (hd0,gpt2)/vmlinuz ro rootwait root=/dev/sda2 rauc.slot=A ota.slot=A",
        "linux: (hd0,gpt3)/vmlinuz ro rootwait root=/dev/sda3 rauc.slot=B ota.slot=B",
        "initrd: (hd0,gpt3)/initrd",
        "@reset",
    ]


@pytest.mark.req("S08")
def test_a_missing_block_does_not_keep_the_first_slot_from_booting(tmp_path: Path) -> None:
    """``save_env`` cannot make a file; only the running system can."""
    board = """
set ota_grubenv="(hd0)/nowhere"
function ota_boot {
  echo "@boot $ota_slot"
  set ota_started=yes
}
"""
    (text,) = texts(SCRIPT, [Case({})], tmp_path, board)
    assert [line for line in text.splitlines() if line.startswith("@boot")] == ["@boot A"]


@pytest.mark.req("S08")
def test_every_environment_leads_to_a_start_or_to_new_attempts(seen: list[Run]) -> None:
    broken = [(case, found) for case, run in zip(CASES, seen, strict=True) if (found := violations(case, run))]
    assert not broken, f"{len(broken)} of {len(CASES)}, such as {broken[0]}"
