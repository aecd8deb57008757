"""New systems that are not good: who notices, how the device comes back, and what the server is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.nspawn.device import Device
from support.nspawn.system import System

pytestmark = [pytest.mark.root, pytest.mark.slow]
WANTED = {"etc/systemd/system/multi-user.target.d/shop.conf": "[Unit]\nWants=shop.service\n"}


def service(command: str, *more: str) -> str:
    return "\n".join(["[Service]", "Type=oneshot", "RemainAfterExit=yes", f"ExecStart={command}", *more, ""])


@pytest.mark.req("S06")
def test_a_unit_that_fails_in_the_new_system_brings_the_old_one_back_and_is_named(
    make_device: Callable[..., Device],
) -> None:
    good, broken = ({"etc/systemd/system/shop.service": service(f"/bin/{how}"), **WANTED} for how in ("true", "false"))
    settings = {"health.units": ["shop.service"], "health.deadline": 3}
    device = make_device(system=System("1.0.0", good), settings=settings)
    device.power_on()
    assert device.machine.run("systemctl", "is-active", "shop.service") == "active"
    action = device.deploy(System("2.0.0", broken))
    assert device.wait_ended(action) == "ERROR"
    assert "shop.service is failed" in device.messages(action), device.messages(action)
    assert "[health.unit-failed] " in device.messages(action)
    assert "failed unit: shop.service" in device.messages(action)
    assert (device.booted, device.version) == ("A", "1.0.0")
    assert device.variables["BOOT_ORDER"].split()[0] == "A"


@pytest.mark.req("S07")
def test_a_new_agent_that_hangs_is_left_by_a_timer_that_needs_nothing_of_it(
    make_device: Callable[..., Device],
) -> None:
    files = {
        "etc/systemd/system/ota-agent-trial.timer.d/soon.conf": "[Timer]\nOnBootSec=\nOnBootSec=1s\n",
        "etc/systemd/system/ota-agent-trial.service.d/board.conf": "[Service]\nEnvironment=CMDLINE=/etc/board/cmdline\n",
    }
    hanging = {
        "etc/systemd/system/ota-agent.service.d/hang.conf": "[Service]\nExecStart=\nExecStart=/bin/sleep infinity\n"
    }
    device = make_device(files=files, settings={"bootloader.boot-attempts-primary": 1})
    device.power_on()
    action = device.deploy(System("2.0.0", hanging))
    assert device.wait_ended(action) == "ERROR"
    assert "[boot.unjudged] " in device.messages(action), device.messages(action)
    assert device.started == ["A", "B", "A"], "the one attempt of the new system was used up"
    assert device.version == "1.0.0"


@pytest.mark.req("S06")
def test_a_unit_that_vetoes_the_boot_brings_the_old_system_back_and_is_named(
    make_device: Callable[..., Device],
) -> None:
    veto = service("/bin/false").replace("[Service]", "[Unit]\nBefore=boot-complete.target\n[Service]")
    files = {
        "etc/systemd/system/self-test.service": veto,
        "etc/systemd/system/boot-complete.target.d/self-test.conf": "[Unit]\nRequires=self-test.service\n",
    }
    device = make_device(settings={"health.deadline": 3})
    device.power_on()
    assert device.machine.run("systemctl", "is-active", "boot-complete.target") == "active"
    action = device.deploy(System("2.0.0", files))
    assert device.wait_ended(action) == "ERROR"
    assert "boot-complete.target is not reached: self-test.service is failed" in device.messages(action)
    assert "[health.unit-failed] " in device.messages(action)
    assert (device.booted, device.version) == ("A", "1.0.0")
