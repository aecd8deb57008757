"""A genuine update that is not healthy: the device comes back from it, and its server is told the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from boot.lab.device import HEALTH, Device
from boot.lab.system import System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]
SICK = {
    "etc/ota-agent/health.d/50-shop": "#!/bin/sh\necho the shop does not open\nexit 1\n",
    HEALTH: "[health]\ndeadline = 5\nsoak = 1\ninterval = 0.5\n",
}


@pytest.mark.req("S07")
def test_a_device_comes_back_from_a_system_that_fails_its_health_check_with_the_reason(
    make_device: Callable[..., Device],
) -> None:
    device = make_device()
    device.power_on()
    bad = device.deploy(System("3.0.0", files=SICK))
    assert device.wait_ended(bad) == "ERROR", device.messages(bad)
    assert device.started == ["A", "B", "A"]
    assert "the shop does not open" in device.messages(bad)
    device.up()
    assert device.version == "1.0.0"
