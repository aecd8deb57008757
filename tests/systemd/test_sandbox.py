"""What the services cannot do, asked in their own sandboxes by a program that tries."""

from __future__ import annotations

from typing import Any

import pytest
from support.nspawn.device import Device
from support.nspawn.probe import probe

pytestmark = [pytest.mark.root, pytest.mark.slow]
DAEMON = "ota-agent.service"
FETCHER, INSTALLER = "ota-agent-fetch@probe.service", "ota-agent-install@probe.service"
SERVICES = (DAEMON, FETCHER, INSTALLER)
FAMILIES = {"unix", "inet", "inet6", "netlink", "packet", "vsock"}
# Attempts that nobody may succeed with.
ALWAYS = ("unshare a network", "unshare users", "mount", "restart", "set the clock", "make a device", "trace")
_TRIES = """
import mmap, time
def family(name):
    kind = socket.SOCK_RAW if name in ("netlink", "packet") else socket.SOCK_STREAM
    return attempt(lambda: socket.socket(getattr(socket, "AF_" + name.upper()), kind).close())
def reads(path):
    return attempt(lambda: open(path, "rb").close())
def status(name):
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith(name + ":"))
found["writable"] = writable()
for name in ("unix", "inet", "inet6", "netlink", "packet", "vsock"):
    found[name] = family(name)
found["slot"] = attempt(lambda: os.close(os.open("/dev/slot-b", os.O_RDWR)))
found["token"] = reads("/etc/ota-agent/target.token")
found["state"] = []
found["see the state"] = attempt(lambda: found["state"].extend(os.listdir("/var/lib/ota-agent")))
found["boot environment"] = reads("/boot/uboot.env")
found["unshare a network"] = call("unshare", 0x40000000)
found["unshare users"] = call("unshare", 0x10000000)
found["mount"] = call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
found["restart"] = call("reboot", 0x89ABCDEF)
found["set the clock"] = attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
found["make a device"] = attempt(lambda: os.mknod("/var/tmp/device", 0o60600, os.makedev(7, 0)))
found["trace"] = call("ptrace", 0, 0, 0, 0)
found["write what it executes"] = attempt(
    lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
)
found["root"] = os.getuid() == 0
found["interfaces"] = [line.partition(":")[0].strip() for line in open("/proc/self/net/dev") if ":" in line]
found["processes"] = sum(name.isdigit() for name in os.listdir("/proc"))
found["no new privileges"] = status("NoNewPrivs")
found["seccomp"] = status("Seccomp")
found["capabilities"] = int(status("CapBnd"), 16)
"""


@pytest.fixture(scope="module")
def tried(quiet: Device) -> dict[str, dict[str, Any]]:
    """What each service found when it tried."""
    return {unit: probe(quiet.machine, unit, _TRIES) for unit in SERVICES}


@pytest.mark.req("C09")
@pytest.mark.parametrize("unit", SERVICES)
def test_no_service_can_gain_anything(tried: dict[str, dict[str, Any]], unit: str) -> None:
    found = tried[unit]
    assert {name: found[name] for name in ALWAYS if found[name] == "done"} == {}
    assert (found["no new privileges"], found["seccomp"]) == ("1", "2")
    assert found["packet"] == found["vsock"] == "EAFNOSUPPORT"


@pytest.mark.req("C09")
def test_the_fetcher_has_the_network_and_nothing_else(tried: dict[str, dict[str, Any]]) -> None:
    found = tried[FETCHER]
    assert {name for name in FAMILIES if found[name] == "done"} == {"unix", "inet", "inet6"}
    assert found["slot"] == "ENOENT", "there are no devices"
    assert set(found["writable"]) <= {"/tmp", "/var/tmp", "/dev/mqueue"}, "private and gone with it"
    assert (found["token"], found["see the state"], found["boot environment"]) == ("EACCES", "EACCES", "EACCES")
    assert (found["root"], found["capabilities"]) == (False, 0)
    assert found["write what it executes"] == "EPERM"
    assert found["processes"] == 1, "it sees itself only"


@pytest.mark.req("C09")
def test_the_installer_has_the_slots_and_no_network(tried: dict[str, dict[str, Any]]) -> None:
    found = tried[INSTALLER]
    assert {name for name in FAMILIES if found[name] == "done"} == {"unix"}
    assert found["slot"] == "done"
    assert found["interfaces"] == ["lo"]
    assert found["capabilities"] == 0
    assert {"/var/lib/ota-agent"} < set(found["writable"])
    assert set(found["writable"]) <= {
        "/dev", "/dev/char", "/dev/mqueue", "/dev/net", "/dev/shm", "/tmp", "/var/lib/ota-agent", "/var/tmp",
    }  # fmt: skip
    assert found["write what it executes"] == "EPERM"


@pytest.mark.req("C09")
def test_the_daemon_has_the_boot_environment_and_no_network(tried: dict[str, dict[str, Any]]) -> None:
    found = tried[DAEMON]
    assert {name for name in FAMILIES if found[name] == "done"} == {"unix", "netlink"}
    assert found["state"], "it keeps it"
    assert {"/boot", "/var/lib/ota-agent"} <= set(found["writable"])
    assert set(found["writable"]) <= {
        "/boot", "/dev", "/dev/char", "/dev/mqueue", "/dev/net", "/dev/shm", "/run/lock", "/run/motd.d", "/run/ota-agent",
        "/var/lib/ota-agent",
    }  # fmt: skip
    assert found["capabilities"] == 1 << 2, "CAP_DAC_READ_SEARCH: a bundle may lie anywhere"
