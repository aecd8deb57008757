"""The demo's flash is what libubootenv takes for a U-Boot environment, in both directions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.demo.bootscript import Flash
from agent.demo.factory import make_environment
from bootloader_env.choose import open_env


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    made = Flash(tmp_path / "uboot.env", {})
    make_environment(tmp_path, made)
    return made


def printed(folder: Path) -> dict[str, str]:
    done = subprocess.run(
        ["fw_printenv", "-c", str(folder / "fw_env.config")], capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_fw_printenv_sees_every_save(tmp_path: Path, flash: Flash) -> None:
    assert printed(tmp_path)["BOOT_ORDER"] == "A B"
    for number in range(5):
        flash.save({"BOOT_ORDER": "B A", "number": str(number)})
        assert printed(tmp_path) == {"BOOT_ORDER": "B A", "number": str(number)}


def test_what_fw_setenv_writes_is_read(tmp_path: Path, flash: Flash) -> None:
    for value in ("one", "two", "three"):
        subprocess.run(
            ["fw_setenv", "-c", str(tmp_path / "fw_env.config"), "number", value], check=True, capture_output=True
        )
        assert flash.load().variables["number"] == value


def test_what_the_agent_writes_is_read(tmp_path: Path, flash: Flash) -> None:
    agent = open_env(
        "uboot", bootnames=("A", "B"), env_config=str(tmp_path / "fw_env.config"), grubenv="", attempts=3,
        attempts_primary=3, lock=str(tmp_path / "lock"),
    )  # fmt: skip

    agent.activate("B", fallback="A", trial="B,7,abc")
    assert flash.load().variables["BOOT_ORDER"] == "B A"
    assert flash.load().variables["OTA_TRIAL"] == "B,7,abc"

    flash.save({**flash.load().variables, "BOOT_B_LEFT": "2"})
    assert agent.read().slots["B"].attempts == 2
