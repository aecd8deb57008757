"""GRUB, a kernel, systemd and the agent: poll, stream, slot, restart through logind, trial, health, confirmation."""

from __future__ import annotations

from pathlib import Path

import pytest

from boot.lab.device import Device
from boot.lab.pc import Grub
from boot.lab.story import is_updated
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


@pytest.mark.req("S01")
def test_a_pc_is_updated_by_its_server_and_each_boot_of_the_trial_is_counted(tmp_path: Path) -> None:
    with Device(tmp_path / "device", Grub()) as device:
        is_updated(device, System("2.0.0", files=LOOK, links=LOOKS))
        counted = device.run("cat /var/seen").splitlines()
        assert "ORDER=B A" in counted and "B_LEFT=2" in counted, "GRUB has taken one of three boots off"
        assert device.variables == {
            "ORDER": "B A", "A_OK": "1", "A_TRY": "0", "A_LEFT": "3", "B_OK": "1", "B_TRY": "0", "B_LEFT": "3",
        }  # fmt: skip
