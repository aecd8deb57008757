"""A device is looked at through its configuration, whatever its bootloader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.loaders import BOARDS, Board

from agent import config
from agent.daemon.device import look_at
from agent.daemon.store import Store

KEYS = {
    "env_config": "fw-env-config", "lock": "lock-file", "attempts": "boot-attempts",
    "attempts_primary": "boot-attempts-primary",
}  # fmt: skip


@pytest.fixture(params=sorted(BOARDS))
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
    made = BOARDS[request.param](tmp_path)
    yield made
    made.close()


def configured(board: Board) -> config.Config:
    settings = {"type": board.kind}
    for name, value in {**dict(board.options), **board.place()}.items():
        if name not in ("cmdline", "device_tree"):
            settings[KEYS.get(name, name.replace("_", "-"))] = value
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    slots = [f"[slot.rootfs.{n}]\ndevice = '/dev/x{n}'\nbootname = '{name}'" for n, name in enumerate(board.names)]
    (board.folder / "os-release").write_text("VERSION_ID=1\n")
    path = board.folder / "device.toml"
    path.write_text(
        "[system]\ncompatible = 'x'\nstate-dir = 'state'\nos-release = 'os-release'\ncmdline = 'cmdline'\n"
        "[keyring]\npath = 'k'\n[bootloader]\n" + "\n".join([*lines, *slots]) + "\n"
    )
    return config.load([path])


@pytest.mark.req("S07")
def test_the_trial_of_a_configured_device_is_known_after_the_restart(board: Board) -> None:
    first, second = board.names
    cmdline = board.folder / "cmdline"
    cmdline.write_text(f"ota.slot={board.power_on()}\n")
    settings = configured(board)
    Store(settings.system.state_dir).close()
    device = look_at(settings)
    assert device.booted.bootname == first
    marker = f"{second},7,{'ab' * 8}"
    device.env.activate(second, fallback=first, trial=marker)
    booted = board.power_on(device.env.capabilities.reboot_argument)
    if board.kind != "barebox":  # whose model names the slot itself
        cmdline.write_text(f"ota.slot={booted}\n")
    device = look_at(settings)
    assert (device.booted.bootname, device.env.read().trial) == (second, marker)


@pytest.mark.parametrize("kind", ["efi", "barebox", "systemd-boot", "custom"])
def test_the_running_slot_is_found_by_the_bootloaders_word_alone(kind: str, tmp_path: Path) -> None:
    board = BOARDS[kind](tmp_path)
    try:
        (tmp_path / "cmdline").write_text("quiet\n")
        board.power_on()
        assert look_at(configured(board)).booted.bootname == board.names[0]
    finally:
        board.close()
