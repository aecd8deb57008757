"""U-Boot, a kernel, systemd and the agent: poll, stream, slot, restart through logind, trial, health, confirmation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from boot.lab.arm import UBootFat
from boot.lab.device import Device
from boot.lab.story import STATES, said, states
from boot.lab.system import System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with Device(tmp_path / "device", UBootFat()) as device:
        yield device


@pytest.mark.req("S01")
def test_a_device_is_updated_by_its_server_and_confirms_the_new_system(device: Device) -> None:
    device.power_on()
    assert (device.busctl("get-property", "CurrentVersion"), device.version) == ("1.0.0", "1.0.0")

    good = device.deploy(System("2.0.0"))
    assert device.wait_ended(good) == "FINISHED", device.messages(good)
    assert device.started == ["A", "B"]
    assert device.slot_holds("B", "2.0.0")
    device.up()
    device.wait_for(lambda: device.busctl("get-property", "State") == "idle", "the agent is idle")
    assert (device.busctl("get-property", "CurrentVersion"), device.version) == ("2.0.0", "2.0.0")
    assert device.busctl("get-property", "LastResult")[0] == "success"
    assert states(device) == list(STATES)
    assert "System is rebooting" in said(device, "_SYSTEMD_UNIT=systemd-logind.service")
    assert device.variables == {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}
