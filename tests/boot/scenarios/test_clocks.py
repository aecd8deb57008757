"""Clocks that are wrong: one without a battery begins when the system was built, and in the year 2040 nobody is believed.

Everything happens to one device, in the order of the tests, because each boot costs so much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from boot.lab.device import Device
from boot.lab.fallback import falls_back
from boot.lab.kinds import KINDS
from boot.lab.stick import mounted
from boot.lab.system import KERNEL_NAMES, System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]
NO_BATTERY = "2000-01-01T00:00:00"  # where a clock begins that has lost its time
FAR = "2040-01-01T00:00:00"  # systemd itself does not believe in more than 15 years after the build
DAY = 86400
SETTINGS = {"server.poll-min": 600}
# systemd(1): when it was last changed is when the system was built. Made anew each day, as the certificates are.
BUILT = {"usr/lib/clock-epoch": f"{datetime.now(UTC):%F}\n"}


@pytest.fixture(scope="module")
def clocked(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Device]]:
    """A device that is on, idle, and was switched on at a time that its hardware clock says."""
    directory, clock = tmp_path_factory.mktemp(kind) / "device", ""
    with Device(directory, KINDS[kind](), System("1.0.0", files=BUILT), settings=SETTINGS) as device:

        def switched_on(at: str) -> Device:
            nonlocal clock
            if clock != at:
                device.cut()
                device.power_on("-rtc", f"base={at}")
            clock = at
            return device

        yield switched_on


def lacking(device: Device, version: str) -> System:
    """A system that is installed soon, and is left again in the same boot: it has no kernel."""
    return System(version, root="kernel", remove=[KERNEL_NAMES[device.board.arch]])


def asked(device: Device) -> str:
    """Lets the device ask its server; returns how that went."""
    seen = device.busctl("get-property", "LastCheck")
    device.run("systemctl reload ota-agent.service")
    device.wait_for(lambda: device.busctl("get-property", "LastCheck") != seen, "the server was asked")
    return str(device.busctl("get-property", "ServerState"))


@pytest.mark.req("S01")
def test_a_device_without_a_battery_begins_at_its_build_and_is_updated_by_its_server(
    clocked: Callable[[str], Device],
) -> None:
    device = clocked(NO_BATTERY)
    assert 0 <= time.time() - int(device.run("date +%s")) < DAY, "its clock has begun when the system was built"
    falls_back(device, lacking(device, "2.1.0"), "boot.fallback", tries=1)


@pytest.mark.req("T20")
def test_a_clock_before_the_build_keeps_the_server_away_and_a_bundle_is_judged_for_the_time_of_the_build(
    clocked: Callable[[str], Device],
) -> None:
    device = clocked(NO_BATTERY)
    device.run(f"date --set={NO_BATTERY}")
    assert asked(device) == "net.tls-expired"
    before = len(device.started)
    device.install(mounted(device, device.bundle(lacking(device, "2.2.0"))))
    device.wait_for(lambda: len(device.started) == before + 2, "the device tries the new system and comes back")
    device.up()
    device.wait_for(lambda: device.busctl("get-property", "State") == "idle", "the agent is idle")
    assert device.started[before:] == ["B", "A"]
    assert device.busctl("get-property", "LastResult")[:3] == ["failure", "2.2.0", "boot.fallback"]


@pytest.mark.req("T20")
def test_in_the_year_2040_no_server_is_believed_and_nothing_is_lost_when_the_clock_is_right_again(
    clocked: Callable[[str], Device],
) -> None:
    device = clocked(FAR)
    before = len(device.started)
    action = device.publish(device.bundle(System("2.3.0", root="kernel", compatible="another-board")), "2.3.0")
    assert asked(device) == "net.tls-expired"
    assert [entry.type for entry in device.server.history(action)] == ["RUNNING"], "it was assigned, and nobody came"
    device.run(f"date --set=@{time.time():.0f}")
    device.run("systemctl reload ota-agent.service")
    assert device.wait_ended(action) == "ERROR", "the device has come, and judged it"
    assert "[policy.incompatible] " in device.messages(action)
    assert (device.started[before:], device.version) == ([], "1.0.0")
