"""A bundle that a person hands over on the device, without a word from a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.nspawn.device import Device
from support.nspawn.system import System

pytestmark = [pytest.mark.root, pytest.mark.slow]


def handed_over(device: Device, version: str, path: str) -> None:
    """Puts a bundle into a place on the device, and asks for its installation."""
    bundle = device.bundle(System(version))
    Path(f"/proc/{device.machine.leader}/root{path}").write_bytes(bundle.read_bytes())
    device.machine.run("ota-agent", "install", path)


@pytest.mark.req("C16")
def test_a_bundle_is_installed_from_where_nobody_else_can_read_it(make_device: Callable[..., Device]) -> None:
    device = make_device(settings={"update.reboot": False})
    device.power_on()
    handed_over(device, "2.0.0", "/root/update.raucb")
    device.wait_state("rebooting")
    assert device.slot_holds("B", "2.0.0")
    assert device.variables["BOOT_ORDER"] == "B A"
