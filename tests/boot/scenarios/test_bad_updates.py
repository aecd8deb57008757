"""Updates that are genuine and do not work: whatever is wrong with the new system, the old one runs again and tells why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boot.lab.device import HEALTH, Device
from boot.lab.fallback import falls_back
from boot.lab.kinds import KINDS
from boot.lab.root_files import NO_NETWORK
from boot.lab.system import KERNEL_NAMES, System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]
# Nobody cancels anything here, and to ask whether somebody has takes a third of the time.
SELDOM = {"server.poll-min": 600}


@pytest.fixture(scope="module")
def device(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A device that is on; a test leaves it idle, in a system that is confirmed."""
    with Device(tmp_path_factory.mktemp(kind) / "device", KINDS[kind](), settings=SELDOM) as device:
        device.power_on()
        yield device


@pytest.mark.req("S07")
def test_a_slot_without_a_kernel_is_left_in_the_same_boot(device: Device) -> None:
    lacking = System("2.1.0", root="kernel", remove=[KERNEL_NAMES[device.board.arch]])
    assert "it left no trace" in falls_back(device, lacking, "boot.fallback", tries=1)


@pytest.mark.req("S07")
def test_a_system_without_init_is_left_and_the_kernels_last_words_are_told(device: Device) -> None:
    told = falls_back(device, System("2.2.0", root="kernel"), "boot.panic")
    assert "Kernel panic - not syncing: Attempted to kill init!" in told


@pytest.mark.req("S07")
def test_a_kernel_that_panics_is_left_and_its_last_words_are_told(device: Device) -> None:
    init = {"sbin/init": "#!/bin/busybox sh\necho c >/proc/sysrq-trigger\n"}
    told = falls_back(device, System("2.3.0", root="kernel", files=init), "boot.panic")
    assert "Kernel panic - not syncing: sysrq triggered crash" in told


@pytest.mark.req("S07")
def test_a_system_that_hangs_is_ended_by_the_hardware_watchdog_that_systemd_feeds(device: Device) -> None:
    # systemd(1): a process 1 that has crashed stops doing anything. That it hangs is nobody's doing but the test's.
    hang = "until grep -qx active /sys/class/watchdog/watchdog0/state; do sleep 1; done; kill -SEGV 1"
    files = {
        "etc/systemd/system/hang.service": f"[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=sh -c '{hang}'\n",
        "etc/systemd/system.conf.d/soon.conf": "[Manager]\nRuntimeWatchdogSec=10\n",
    }
    enabled = {"etc/systemd/system/sysinit.target.wants/hang.service": "../hang.service"}
    told = falls_back(device, System("2.4.0", root="no-python", files=files, links=enabled), "boot.watchdog")
    assert "the system hung, or did not feed its watchdog" in told


@pytest.mark.req("S07")
def test_a_system_whose_agent_does_not_start_is_left_by_the_timer(device: Device) -> None:
    # systemd.timer(5): an empty value forgets all times of the timer, whatever it is assigned to.
    soon = "[Timer]\nOnBootSec=\nOnBootSec=20\nOnUnitActiveSec=20\n"
    files = {"etc/systemd/system/ota-agent-trial.timer.d/soon.conf": soon}
    told = falls_back(device, System("2.5.0", root="no-python", files=files), "boot.unjudged")
    assert "its update agent did not start" in told


@pytest.mark.req("S07", "T28")
def test_a_system_from_the_server_that_does_not_reach_it_goes_back_and_the_server_is_told(device: Device) -> None:
    # One round is enough: what else is red in it, since the system is still starting, changes neither verdict nor code.
    impatient = {HEALTH: "[health]\nboot-complete = false\ndeadline = 5\nsoak = 1\ninterval = 0.5\n"}
    told = falls_back(device, System("2.6.0", files={**impatient, **NO_NETWORK}), "health.failed", tries=1)
    assert "server: the connection to the server failed" in told
