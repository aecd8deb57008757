"""U-Boot, a kernel, systemd and the agent: poll, stream, slot, restart through logind, trial, health, confirmation."""

from __future__ import annotations

from pathlib import Path

import pytest

from boot.lab.arm import UBootFat
from boot.lab.device import Device
from boot.lab.story import is_updated
from boot.lab.system import System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]


@pytest.mark.req("S01")
def test_a_device_is_updated_by_its_server_and_confirms_the_new_system(tmp_path: Path) -> None:
    with Device(tmp_path / "device", UBootFat()) as device:
        is_updated(device, System("2.0.0"))
        assert device.variables == {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}
