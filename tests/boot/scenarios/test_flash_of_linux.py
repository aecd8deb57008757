"""Environments and slots on the MTD and UBI of a real kernel, in the sandboxes of the units: NAND with bad blocks, UBI, RAM.

QEMU's boards have no such memory; Debian's kernel for PCs has simulators. They forget everything at a reset, so this is about
one boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import boot.lab
from boot.lab.cache import ROOT
from boot.lab.device import Device
from boot.lab.pc import Grub

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(2400)]
PROGRAM = Path(boot.lab.__file__).with_name("flash_guest.py")
UNITS = "/usr/lib/systemd/system"
# What a unit is for, and nothing of its walls.
OTHER = (
    "[Service]\nType=oneshot\nWatchdogSec=0\nRestart=no\nStandardInput=null\nRuntimeDirectory=\nExecReload=\n"
    "ExecStart=\nExecStart=python3 -I /run/flash.py {word}\n"
    "StandardOutput=truncate:/run/{word}.json\nStandardError=journal\n"
)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """On, with the memory."""
    with Device(tmp_path_factory.mktemp("flash") / "device", Grub()) as device:
        device.power_on()
        device.vm.shell.write("/run/flash.py", PROGRAM.read_bytes())
        device.run("python3 -I /run/flash.py prepare")
        yield device


@pytest.fixture(scope="module")
def environments(device: Device) -> Mapping[str, Any]:
    return within(device, "ota-agent.service", "environments")


@pytest.fixture(scope="module")
def answers(device: Device, environments: Mapping[str, Any]) -> Mapping[str, Any]:
    assert environments, "the daemon has written before"
    found: Mapping[str, Any] = json.loads(device.run("python3 -I /run/flash.py answers"))
    return found


@pytest.fixture(scope="module")
def slots(device: Device) -> Mapping[str, Any]:
    return within(device, "ota-agent-install@.service", "slots", (ROOT / "systemd/ota-agent-flash.conf").read_text())


def within(device: Device, unit: str, word: str, dropin: str = "") -> Mapping[str, Any]:
    """What the program finds behind the walls of a unit."""
    home = f"/run/systemd/system/flash-{word}.service"
    device.run(f"mkdir -p {home}.d && grep -v ^BusName= {UNITS}/{unit} >{home}")  # a drop-in cannot take a name away
    for name, text in (("flash", dropin), ("other", OTHER.format(word=word))):
        device.vm.shell.write(f"{home}.d/{name}.conf", text.encode())
    device.run(f"systemctl daemon-reload; systemctl start flash-{word} || {{ journalctl -u flash-{word}; false; }}")
    found: Mapping[str, Any] = json.loads(device.run(f"cat /run/{word}.json"))
    return found


@pytest.mark.parametrize("medium", ["nand", "ubi"])
def test_fw_printenv_reads_what_the_daemon_writes(environments: Mapping[str, Any], medium: str) -> None:
    assert environments[medium] == ["B A", "A B", "A"]


@pytest.mark.parametrize("medium", ["nand", "ubi"])
def test_what_fw_setenv_writes_after_us_is_read_and_the_rest_is_still_there(
    answers: Mapping[str, Any], medium: str
) -> None:
    assert answers[medium] == [f"{left} A run distro" for left in "321"]


@pytest.mark.req("C11")
@pytest.mark.parametrize("slot", ["nand", "nor", "ubivol", "static ubivol"])
def test_a_slot_gives_programs_of_others_the_image_that_was_installed(slots: Mapping[str, Any], slot: str) -> None:
    assert slots["held"][slot] is True


def test_the_slot_on_nand_had_a_bad_block(slots: Mapping[str, Any]) -> None:
    assert slots["bad blocks"] == "1"


@pytest.mark.parametrize(
    ("user", "code"), [("attached", "slot.mounted"), ("mounted", "slot.mounted"), ("open", "slot.busy")]
)
def test_memory_that_somebody_uses_is_refused(slots: Mapping[str, Any], user: str, code: str) -> None:
    assert slots["refused"][user] == code
