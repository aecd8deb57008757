"""GRUB, a kernel, systemd and the agent: poll, stream, slot, restart through logind, trial, health, confirmation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from boot.lab.device import Device
from boot.lab.pc import Grub
from boot.lab.story import STATES, said, states
from boot.lab.system import System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]
# What GRUB has left in its block, before the agent starts.
LOOK = {
    "etc/systemd/system/look.service": (
        "[Unit]\nRequiresMountsFor=/boot/firmware /var\nBefore=ota-agent.service\n"
        "[Service]\nType=oneshot\nExecStart=cp /boot/firmware/grub/grubenv /var/seen\n"
    )
}
LOOKS = {"etc/systemd/system/multi-user.target.wants/look.service": "../look.service"}


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with Device(tmp_path / "device", Grub()) as device:
        yield device


@pytest.mark.req("S01")
def test_a_pc_is_updated_by_its_server_and_each_boot_of_the_trial_is_counted(device: Device) -> None:
    device.power_on()
    assert (device.busctl("get-property", "CurrentVersion"), device.version) == ("1.0.0", "1.0.0")

    good = device.deploy(System("2.0.0", files=LOOK, links=LOOKS))
    assert device.wait_ended(good) == "FINISHED", device.messages(good)
    assert device.started == ["A", "B"]
    assert device.slot_holds("B", "2.0.0")
    device.up()
    device.wait_for(lambda: device.busctl("get-property", "State") == "idle", "the agent is idle")
    assert (device.busctl("get-property", "CurrentVersion"), device.version) == ("2.0.0", "2.0.0")
    assert device.busctl("get-property", "LastResult")[0] == "success"
    assert states(device) == list(STATES)
    assert "System is rebooting" in said(device, "_SYSTEMD_UNIT=systemd-logind.service")
    counted = device.run("cat /var/seen").splitlines()
    assert "ORDER=B A" in counted and "B_LEFT=2" in counted, "GRUB has taken one of three boots off"
    assert device.variables == {
        "ORDER": "B A", "A_OK": "1", "A_TRY": "0", "A_LEFT": "3", "B_OK": "1", "B_TRY": "0", "B_LEFT": "3",
    }  # fmt: skip
