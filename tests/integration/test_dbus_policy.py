"""The D-Bus policy on a real bus with the rules of a system bus: root acts, nobody only looks."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bus import SYSTEM_POLICY, private_bus, served

from agent.daemon.dbus_names import BUS_NAME, MANAGER, OBJECT_PATH

POLICY = Path(__file__).parents[2] / "systemd" / "org.otaagent.Agent1.conf"
NOBODY = 65534
PROPERTIES = "org.freedesktop.DBus.Properties"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)  # nobody must reach the socket
        with private_bus(directory, f"{SYSTEM_POLICY}<include>{POLICY}</include>") as address, served(address):
            yield address


def send(address: str, uid: int, member: str, *arguments: str, to: str = BUS_NAME) -> subprocess.CompletedProcess[str]:
    path = OBJECT_PATH if to == BUS_NAME else "/org/freedesktop/DBus"
    command = ["dbus-send", f"--bus={address}", "--print-reply", f"--dest={to}", path, member, *arguments]
    who = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=20, **who)


@pytest.mark.root
@pytest.mark.req("T25")
def test_nobody_may_read(address):
    version = send(address, NOBODY, f"{PROPERTIES}.Get", f"string:{MANAGER}", "string:CurrentVersion")
    assert (version.returncode, version.stderr) == (0, "")
    assert 'string "1.0"' in version.stdout
    assert send(address, NOBODY, f"{PROPERTIES}.GetAll", f"string:{MANAGER}").returncode == 0
    assert "interface" in send(address, NOBODY, "org.freedesktop.DBus.Introspectable.Introspect").stdout


@pytest.mark.root
@pytest.mark.req("T25", "C09")
@pytest.mark.parametrize("call", [("Check",), ("Install", "string:/x.raucb"), ("Cancel",)])
def test_nobody_may_not_change_anything(address, call):
    member, *arguments = call
    refused = send(address, NOBODY, f"{MANAGER}.{member}", *arguments)
    assert refused.returncode != 0
    assert "org.freedesktop.DBus.Error.AccessDenied" in refused.stderr


@pytest.mark.root
@pytest.mark.req("T25")
def test_nobody_may_not_set_a_property_nor_take_the_name(address):
    refused = send(address, NOBODY, f"{PROPERTIES}.Set", f"string:{MANAGER}", "string:State", "variant:string:x")
    assert "AccessDenied" in refused.stderr
    refused = send(
        address, NOBODY, "org.freedesktop.DBus.RequestName", f"string:{BUS_NAME}", "uint32:2", to="org.freedesktop.DBus"
    )
    assert "AccessDenied" in refused.stderr


@pytest.mark.root
def test_root_may_do_all(address):
    assert send(address, 0, f"{MANAGER}.Check").returncode == 0
    assert send(address, 0, f"{MANAGER}.Install", "string:/x.raucb").returncode == 0
    refused = send(address, 0, f"{MANAGER}.Cancel")
    assert "org.otaagent.Agent1.Error.UpdateNone" in refused.stderr, "refused by the daemon, not by the bus"


@pytest.mark.root
@pytest.mark.req("T25")
def test_the_daemon_itself_refuses_nobody_where_the_bus_lets_everybody_in():
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with private_bus(directory) as address, served(address):
            refused = send(address, NOBODY, f"{MANAGER}.Install", "string:/x.raucb")
            allowed = send(address, NOBODY, f"{PROPERTIES}.GetAll", f"string:{MANAGER}")
    assert "org.otaagent.Agent1.Error.AccessDenied" in refused.stderr
    assert allowed.returncode == 0
