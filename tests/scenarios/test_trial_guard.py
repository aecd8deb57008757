"""The shell script that ends a trial which no agent judges, on real boot environments."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.loaders import BOARDS, Board

from agent.config_table import SETTINGS
from agent.demo.bootscript import Flash
from agent.demo.factory import make_environment
from bootloader_env.choose import open_env

SCRIPT = Path(__file__).parents[2] / "systemd" / "ota-agent-leave-trial"
MARKER = f"B,7,{'ab' * 8}"


def guard(directory: Path, slot: str) -> str:
    """Runs the script; returns with what words it asked systemctl for a restart, nothing if it did not."""
    cmdline, asked, systemctl = directory / "cmdline", directory / "asked", directory / "bin" / "systemctl"
    cmdline.write_text(f"console=ttyS0 root=/dev/mmcblk0p3 {slot} ro\n")
    systemctl.parent.mkdir(exist_ok=True)
    systemctl.write_text(f'#!/bin/sh\necho "$*" >{asked}\n')
    systemctl.chmod(0o755)
    environment = {
        "PATH": f"{systemctl.parent}:/usr/bin:/bin:/usr/sbin",
        "FW_ENV_CONFIG": str(directory / "fw_env.config"),
        "GRUBENV": str(directory / "grubenv"),
        "CMDLINE": str(cmdline),
        "AUTOBOOT": str(directory / "autoboot.txt"),
        "MARKER": str(directory / "state" / "trial"),
        "DEVICE_TREE": str(directory),
    }
    subprocess.run([SCRIPT], env=environment, check=True, capture_output=True, timeout=20)
    return asked.read_text().strip() if asked.exists() else ""


@pytest.fixture(params=["uboot", "grub"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the boot environment of a device whose slot B is on trial."""
    if request.param == "grub":
        subprocess.run(["grub-editenv", tmp_path / "grubenv", "create"], check=True)
        subprocess.run(["grub-editenv", tmp_path / "grubenv", "set", "ORDER=A B", "A_OK=1", "A_TRY=0"], check=True)
    else:
        order = {"BOOT_ORDER": "A B", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}
        make_environment(tmp_path, Flash(tmp_path / "uboot.env", order))
    environment(tmp_path, request.param).activate("B", fallback="A", trial=MARKER)
    return tmp_path


def environment(directory: Path, kind: str):  # type: ignore[no-untyped-def]
    return open_env(
        "grub" if kind == "grub" else "uboot", bootnames=("A", "B"), env_config=str(directory / "fw_env.config"),
        grubenv=str(directory / "grubenv"), attempts=3, attempts_primary=3, lock=str(directory / "lock"),
    )  # fmt: skip


@pytest.mark.req("S07")
@pytest.mark.parametrize("slot", ["rauc.slot=B", "ota.slot=B"])
def test_a_trial_that_nobody_judges_is_ended(directory: Path, slot: str) -> None:
    assert guard(directory, slot) == "-i reboot", "nothing may block it: systemctl(1), --check-inhibitors="


@pytest.mark.req("S07")
def test_the_system_before_is_left_a_note_of_it(directory: Path) -> None:
    (directory / "state").mkdir(exist_ok=True)
    assert guard(directory, "rauc.slot=B")
    assert json.loads((directory / "state" / "unjudged.json").read_text()) == {"slot": "B"}


@pytest.mark.parametrize("slot", ["rauc.slot=A", "xrauc.slot=B", ""])
def test_another_slot_is_left_alone(directory: Path, slot: str) -> None:
    assert not guard(directory, slot)


def test_a_judged_trial_is_left_alone(directory: Path) -> None:
    kind = "grub" if (directory / "grubenv").exists() else "uboot"
    environment(directory, kind).confirm("B")
    assert not guard(directory, "rauc.slot=B")


def test_without_a_boot_environment_nothing_happens(tmp_path: Path) -> None:
    assert not guard(tmp_path, "rauc.slot=B")


def test_the_timer_waits_longer_than_a_trial_takes() -> None:
    timer = configparser.ConfigParser(interpolation=None)
    timer.read(SCRIPT.with_name("ota-agent-trial.timer"))
    wait = re.fullmatch(r"(\d+)min", timer["Timer"]["OnBootSec"])
    (deadline,) = [row.default for row in SETTINGS if (row.section, row.key) == ("health", "deadline")]
    assert wait is not None
    assert int(wait[1]) * 60 >= 2 * float(str(deadline))
    service = SCRIPT.with_name("ota-agent-trial.service").read_text()
    assert f"ExecStart=/usr/lib/ota-agent/{SCRIPT.name}" in service


@pytest.fixture(params=["barebox", "custom", "efi", "raspberrypi", "systemd-boot"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
    """A board whose bootloader keeps no variables, and whose second slot runs on trial."""
    made = BOARDS[request.param](tmp_path)
    first, second = made.names
    env = made.open(made.power_on())
    env.activate(second, fallback=first, trial=f"{second},7,{'ab' * 8}")
    assert made.power_on(env.capabilities.reboot_argument) == second
    yield made
    made.close()


@pytest.mark.req("S07")
def test_a_trial_is_ended_with_every_bootloader(board: Board) -> None:
    first, second = board.names
    assert guard(board.folder, f"ota.slot={second}")
    (board.folder / "asked").unlink()
    assert not guard(board.folder, f"ota.slot={first}")
    board.open(second).confirm(second)
    assert not guard(board.folder, f"ota.slot={second}")


@pytest.mark.req("S07")
@pytest.mark.parametrize("kind", ["barebox", "raspberrypi"])
def test_a_bootloader_that_tells_the_running_slot_needs_no_word_on_the_command_line(kind: str, tmp_path: Path) -> None:
    board = BOARDS[kind](tmp_path)
    try:
        first, second = board.names
        env = board.open(board.power_on())
        env.activate(second, fallback=first, trial=f"{second},7,{'ab' * 8}")
        word = {"barebox": "bootchooser.active={}", "raspberrypi": ""}[kind]
        assert not guard(tmp_path, word.format(first))
        board.power_on(env.capabilities.reboot_argument)
        assert guard(tmp_path, word.format(second))
    finally:
        board.close()
