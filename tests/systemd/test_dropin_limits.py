"""What the drop-ins of the installer open, asked by a program that tries; and that the network is not among it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.nspawn import image
from support.nspawn.device import Device
from support.nspawn.probe import probe

pytestmark = [pytest.mark.root, pytest.mark.slow]
_TRIES = """
def change(name, work):
    path = "/tmp/" + name
    open(path, "w").close()
    found[name] = attempt(lambda: work(path))
found["network"] = attempt(lambda: socket.socket(socket.AF_INET).close())
found["network namespace"] = call("unshare", 0x40000000)
found["mount namespace"] = call("unshare", 0x20000)
found["mount"] = call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
found["fsopen"] = call("syscall", 430, b"ext4", 0)
change("owner", lambda path: os.chown(path, 5, 5))
change("set-user-ID", lambda path: os.chmod(path, 0o4755))
found["device node"] = attempt(lambda: os.mknod("/tmp/node", 0o20600, os.makedev(1, 3)))
found["process namespace"] = call("unshare", 0x20000000)
"""
OPENED = {
    "mount namespace", "mount", "fsopen", "owner", "set-user-ID", "device node", "process namespace",
}  # fmt: skip


@pytest.fixture(scope="module")
def found(room: Path) -> dict[str, Any]:
    base = image.make_base(room / "base-of-dropins", dropins=("archives", "flash", "hooks"))
    with Device(room / "device-with-dropins", base) as device:
        device.power_on()
        return probe(device.machine, "ota-agent-install@probe.service", _TRIES)


@pytest.mark.req("C09")
def test_archives_hooks_and_raw_flash_can_do_what_they_need(found: dict[str, Any]) -> None:
    assert {name for name in OPENED if found[name] != "done"} == set()


@pytest.mark.req("C09")
def test_there_is_no_network_all_the_same(found: dict[str, Any]) -> None:
    assert (found["network"], found["network namespace"]) == ("EAFNOSUPPORT", "EPERM")
