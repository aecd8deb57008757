"""UPower, NetworkManager and logind asked over a real bus, in the types of their documented interfaces."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gi.repository import Gio, GLib
from support.bus import private_bus
from support.pretend import POLICY

from agent.bus.calls import Bus
from agent.consent.gates import Gates
from agent.consent.rules import Hold

# From the introspection data of UPower 1.90, NetworkManager 1.42 and systemd 252.
INTERFACES = """<node>
<interface name="org.freedesktop.UPower"><property name="OnBattery" type="b" access="read"/></interface>
<interface name="org.freedesktop.UPower.Device"><property name="Percentage" type="d" access="read"/></interface>
<interface name="org.freedesktop.NetworkManager"><property name="Metered" type="u" access="read"/></interface>
<interface name="org.freedesktop.login1.Manager"><method name="ListInhibitors">
<arg name="inhibitors" type="a(ssssuu)" direction="out"/></method></interface>
</node>"""
OBJECTS = {
    "org.freedesktop.UPower": "/org/freedesktop/UPower",
    "org.freedesktop.UPower.Device": "/org/freedesktop/UPower/devices/DisplayDevice",
    "org.freedesktop.NetworkManager": "/org/freedesktop/NetworkManager",
    "org.freedesktop.login1.Manager": "/org/freedesktop/login1",
}
NAMES = ("org.freedesktop.UPower", "org.freedesktop.NetworkManager", "org.freedesktop.login1")


class System:
    """The three services, with answers in the hands of a test."""

    def __init__(self, address: str) -> None:
        self.values: dict[str, Any] = {
            "OnBattery": GLib.Variant("b", True), "Percentage": GLib.Variant("d", 42.0), "Metered": GLib.Variant("u", 3),
        }  # fmt: skip
        self.locks = [("sleep", "a", "b", "block", 0, 1), ("shutdown:sleep", "backup", "is running", "block", 0, 2)]
        self._context = GLib.MainContext()
        self._loop = GLib.MainLoop(self._context)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(address, ready), daemon=True)
        self._thread.start()
        assert ready.wait(30)

    def _serve(self, address: str, ready: threading.Event) -> None:
        self._context.push_thread_default()
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        connection = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
        for info in Gio.DBusNodeInfo.new_for_xml(INTERFACES).interfaces:
            connection.register_object(OBJECTS[info.name], info, self._called, self._read, None)
        for name in NAMES:
            Gio.bus_own_name_on_connection(connection, name, Gio.BusNameOwnerFlags.NONE, None, None)
        source = GLib.Idle()
        source.set_callback(lambda *_: ready.set())
        source.attach(self._context)
        self._loop.run()

    def _called(self, *call: Any) -> None:
        call[6].return_value(GLib.Variant("(a(ssssuu))", (self.locks,)))

    def _read(self, _connection: Any, _sender: str, _path: str, _interface: str, name: str) -> Any:
        return self.values[name]

    def stop(self) -> None:
        self._loop.quit()
        self._thread.join(10)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with private_bus(tmp_path_factory.mktemp("bus")) as found:
        yield found


def shut(address: str, **policy: object) -> set[Hold]:
    bus = Bus(address)
    try:
        return set(Gates(bus, lambda: 0.0, Path("/nonexistent")).shut(replace(POLICY, **policy)))  # type: ignore[arg-type]
    finally:
        bus.close()


WISHES: dict[str, object] = {"power": "battery:50", "metered": "avoid", "inhibitors": True}


def test_services_that_are_not_there_hold_nothing(address: str, caplog: pytest.LogCaptureFixture) -> None:
    assert shut(address, **WISHES) == set()
    assert caplog.text == "", "nor is that worth a word"


def test_the_answers_of_real_services_are_understood(address: str) -> None:
    system = System(address)
    try:
        assert shut(address, **WISHES) == {Hold.POWER, Hold.METERED, Hold.INHIBITOR}
        assert shut(address, power="battery:42") == set()
        system.values |= {"OnBattery": GLib.Variant("b", False), "Metered": GLib.Variant("u", 4)}
        system.locks.pop()
        assert shut(address, **WISHES) == set()
    finally:
        system.stop()


def test_without_a_bus_nothing_is_held(caplog: pytest.LogCaptureFixture) -> None:
    assert shut("none", **WISHES) == set()
    assert caplog.text == ""
