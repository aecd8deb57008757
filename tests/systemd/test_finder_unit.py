"""A stick in a device with a real service manager: found by the daemon, mounted by a finder in a sandbox of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.nspawn.device import Device
from support.nspawn.probe import probe
from support.nspawn.system import System
from support.stick import image_with, stick

pytestmark = [pytest.mark.root, pytest.mark.slow]
_TRIES = """
found["writable"] = writable()
for name in ("INET", "INET6", "NETLINK", "PACKET"):
    found[name] = attempt(lambda: socket.socket(getattr(socket, "AF_" + name), socket.SOCK_RAW).close())
found["read a device"] = attempt(lambda: os.close(os.open("/dev/slot-b", os.O_RDONLY)))
found["state"] = attempt(lambda: open("/var/lib/ota-agent/lock").close())
found["token"] = attempt(lambda: open("/etc/ota-agent/target.token").close())
found["mount in the tree"] = call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
found["unmount"] = call("umount2", b"/", 2)
found["enter a namespace"] = call("setns", os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)
found["unshare mounts"] = call("unshare", 0x20000)
"""


@pytest.mark.req("S32", "T23")
def test_a_stick_that_is_plugged_in_is_installed_by_processes_that_cannot_do_more(
    make_device: Callable[..., Device], tmp_path: Path
) -> None:
    bundle = System("2.0.0").bundle(tmp_path)
    with stick() as usb:
        settings = {"media.install": "auto", "media.devices": [usb.node], "media.filesystems": ["ext4"]}
        device = make_device(settings=settings)
        device.machine.binds[usb.node] = Path(usb.node)
        device.power_on()
        usb.plug(image_with(tmp_path / "stick.img", {"update.raucb": bundle}))
        device.wait_for(lambda: device.started == ["A", "B"], "the new system boots")
        device.wait_state("idle")
        assert device.version == "2.0.0"
        said = [entry["MESSAGE"] for entry in device.machine.journal("_SYSTEMD_UNIT=ota-agent.service")]
        assert "each finder is started by systemd: /run/ota-agent/find.sock" in said
        found: Any = probe(device.machine, "ota-agent-find@probe.service", _TRIES)
    writable = set(found.pop("writable"))
    assert writable <= {"/dev", "/dev/char", "/dev/mqueue", "/dev/net", "/tmp", "/var/tmp"}
    assert found.pop("read a device") == "done"
    assert "done" not in found.values(), found
