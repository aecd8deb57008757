"""The service itself: it starts, tells systemd and the bus, is started by a call, and is seen by everybody and told by few."""

from __future__ import annotations

import pytest
from support.nspawn.device import Device
from support.nspawn.machine import Machine

from agent.daemon.dbus_names import BUS_NAME, MANAGER, OBJECT_PATH

pytestmark = [pytest.mark.root, pytest.mark.slow]
UNIT = "ota-agent.service"
PROPERTIES = "org.freedesktop.DBus.Properties"


def busctl(machine: Machine, *arguments: str, user: str = "") -> tuple[bool, str]:
    done = machine.ask("busctl", "--timeout=20", *arguments, user=user)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def get(machine: Machine, name: str, user: str = "") -> str:
    done, text = busctl(machine, "get-property", BUS_NAME, OBJECT_PATH, MANAGER, name, user=user)
    assert done, text
    return text


def test_the_whole_system_starts_without_a_failed_unit(quiet: Device) -> None:
    assert quiet.machine.run("systemctl", "is-system-running") == "running"
    assert quiet.machine.run("systemctl", "list-units", "--failed", "--no-legend") == ""


def test_it_is_active_because_it_said_that_it_is_ready(quiet: Device) -> None:
    told = quiet.machine.show(UNIT, "Type", "ActiveState", "SubState", "NRestarts", "UnitFileState")
    assert told == {
        "Type": "notify", "ActiveState": "active", "SubState": "running", "NRestarts": "0", "UnitFileState": "enabled",
    }  # fmt: skip


@pytest.mark.req("T25")
def test_the_name_on_the_bus_belongs_to_the_service(quiet: Device) -> None:
    done, text = busctl(quiet.machine, "status", BUS_NAME)
    assert done, text
    assert f"PID={quiet.machine.pid(UNIT)}\n" in text
    assert f"Unit={UNIT}\n" in text


@pytest.mark.req("T25")
def test_nobody_else_can_take_its_name(quiet: Device) -> None:
    bus = "org.freedesktop.DBus"
    request = ("call", bus, "/org/freedesktop/DBus", bus, "RequestName", "su", BUS_NAME, "2")
    done, text = busctl(quiet.machine, *request, user="person")
    assert not done
    assert "denied" in text


def test_everybody_reads_what_is_going_on(quiet: Device) -> None:
    assert get(quiet.machine, "CurrentVersion", user="person") == 's "1.0.0"'
    assert get(quiet.machine, "Slot", user="person") == 's "A"'
    assert get(quiet.machine, "State", user="person") == 's "idle"'


@pytest.mark.req("T25")
def test_somebody_without_rights_changes_nothing(quiet: Device) -> None:
    before = len(quiet.server.requests("/controller/"))
    done, text = busctl(quiet.machine, "call", BUS_NAME, OBJECT_PATH, MANAGER, "Check", user="person")
    assert not done
    assert "denied" in text.lower(), text
    assert len(quiet.server.requests("/controller/")) == before


def test_root_asks_the_server_by_the_command_line(quiet: Device) -> None:
    before = len(quiet.server.requests("/controller/"))
    quiet.machine.run("ota-agent", "check")
    quiet.wait_for(lambda: len(quiet.server.requests("/controller/")) > before, "another poll")


def test_its_configuration_is_seen_by_the_command_line_of_the_same_device(quiet: Device) -> None:
    assert "1.0.0" in quiet.machine.run("ota-agent", "status", user="person")


def test_a_call_on_the_bus_starts_it(quiet: Device) -> None:
    machine = quiet.machine
    machine.run("systemctl", "stop", UNIT)
    assert machine.show(UNIT, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    done, text = busctl(machine, "call", BUS_NAME, OBJECT_PATH, PROPERTIES, "Get", "ss", MANAGER, "State")
    assert (done, text) == (True, 'v s "idle"')
    assert machine.show(UNIT, "ActiveState") == {"ActiveState": "active"}


def test_a_reload_asks_the_server_and_restarts_nothing(quiet: Device) -> None:
    pid, before = quiet.machine.pid(UNIT), len(quiet.server.requests("/controller/"))
    quiet.machine.run("systemctl", "reload", UNIT)
    quiet.wait_for(lambda: len(quiet.server.requests("/controller/")) > before, "another poll")
    assert quiet.machine.pid(UNIT) == pid
