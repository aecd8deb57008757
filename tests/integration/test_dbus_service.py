"""Promises of the D-Bus interface, on a real bus, by raw calls as busctl makes them."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gi.repository import Gio, GLib
from support.bus import connect, main_loop, private_bus

from agent.daemon import dbus_names as names
from agent.daemon.dbus_service import BusService
from agent.errors import EnvironmentFault, PolicyError


class Commands:
    """Notes what was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.refuse: Exception | None = None

    def _note(self, what: object) -> None:
        if self.refuse:
            raise self.refuse
        self.asked.append(what)

    def check(self) -> None:
        self._note("check")

    def install(self, path: str) -> None:
        self._note(("install", path))

    def cancel(self) -> None:
        self._note("cancel")

    def scrub(self, slot: str) -> None:
        self._note(("scrub", slot))

    def approve(self, action_id: str) -> None:
        self._note(("approve", action_id))

    def deny(self, action_id: str, reason: str) -> None:
        self._note(("deny", action_id, reason))


class Bus:
    """The service, a client, and what the client has heard."""

    def __init__(self, address: str) -> None:
        self.commands = Commands()
        self.service = BusService(address, self.commands, {"CurrentVersion": "1.0", "BootId": "b-1"})
        self.service.start()
        self.client = connect(address)
        self.heard: list[tuple[float, str, tuple]] = []
        self.client.signal_subscribe(
            names.BUS_NAME, None, None, names.OBJECT_PATH, None, Gio.DBusSignalFlags.NONE, self._hear
        )

    def _hear(self, _connection, _sender, _path, _interface, signal, parameters) -> None:
        self.heard.append((time.monotonic(), signal, parameters.unpack()))

    def call(self, method: str, signature: str = "()", *arguments: object, interface: str = names.MANAGER):
        parameters = GLib.Variant(signature, arguments)
        flags = Gio.DBusCallFlags.NONE
        answer = self.client.call_sync(
            names.BUS_NAME, names.OBJECT_PATH, interface, method, parameters, None, flags, 5000, None
        )
        return answer.unpack()

    def properties(self, method: str, signature: str, *arguments: object):
        return self.call(method, signature, *arguments, interface="org.freedesktop.DBus.Properties")

    def error(self, method: str, signature: str = "()", *arguments: object) -> tuple[str, str]:
        with pytest.raises(GLib.Error) as caught:
            self.call(method, signature, *arguments)
        name = Gio.DBusError.get_remote_error(caught.value)
        return name, caught.value.message.removeprefix(f"GDBus.Error:{name}: ")

    def wait_for(self, signal: str, times: int = 1, seconds: float = 5) -> list[tuple]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [parameters for _, name, parameters in self.heard if name == signal]
            if len(found) >= times:
                return found
            time.sleep(0.01)
        raise AssertionError(f"heard only {self.heard}")


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with private_bus(tmp_path) as address, main_loop():
        bus = Bus(address)
        yield bus
        bus.service.stop()
        bus.client.close_sync(None)


@pytest.mark.req("C44")
def test_every_property_can_be_read_with_its_declared_signature(bus):
    flags = Gio.DBusCallFlags.NONE
    parameters = GLib.Variant("(s)", (names.MANAGER,))
    answer = bus.client.call_sync(
        names.BUS_NAME,
        names.OBJECT_PATH,
        "org.freedesktop.DBus.Properties",
        "GetAll",
        parameters,
        None,
        flags,
        5000,
        None,
    )
    values = answer.get_child_value(0)
    kinds = {
        pair.get_child_value(0).get_string(): pair.get_child_value(1).get_variant().get_type_string()
        for pair in (values.get_child_value(index) for index in range(values.n_children()))
    }
    assert kinds == names.SIGNATURES
    for name in names.SIGNATURES:
        value = bus.properties("Get", "(ss)", names.MANAGER, name)[0]
        assert value == answer.unpack()[0][name]
    assert bus.properties("Get", "(ss)", names.MANAGER, "CurrentVersion") == ("1.0",)


def test_introspection_shows_exactly_the_table(bus):
    text = bus.call("Introspect", interface="org.freedesktop.DBus.Introspectable")[0]
    info = Gio.DBusNodeInfo.new_for_xml(text).lookup_interface(names.MANAGER)
    assert {item.name: item.signature for item in info.properties} == names.SIGNATURES
    assert [item.name for item in info.methods] == [row.name for row in names.METHODS]
    assert [item.name for item in info.signals] == [row.name for row in names.SIGNALS]
    assert not any(item.flags & Gio.DBusPropertyInfoFlags.WRITABLE for item in info.properties)


def test_every_method_reaches_its_command(bus):
    bus.call("Check")
    bus.call("Install", "(s)", "/tmp/a.raucb")
    bus.call("Cancel")
    bus.call("Scrub", "(s)", "B")
    assert bus.commands.asked == ["check", ("install", "/tmp/a.raucb"), "cancel", ("scrub", "B")]


@pytest.mark.parametrize("path", ["relative", "", "/" + "a" * 5000])
def test_only_an_absolute_path_of_sane_length_is_taken(bus, path):
    name, text = bus.error("Install", "(s)", path)
    assert name == "org.otaagent.Agent1.Error.InstallPath"
    assert "[install.path]" in text
    assert bus.commands.asked == []


def test_a_refusal_keeps_its_code_text_and_advice(bus):
    bus.commands.refuse = PolicyError("agent.busy", "an update is under way", details="1.2", resolution="wait")
    assert bus.error("Check") == (
        "org.otaagent.Agent1.Error.AgentBusy",
        "an update is under way [agent.busy]\n1.2\nnext: wait",
    )


@pytest.mark.req("T25")
def test_an_unforeseen_error_tells_nothing_about_the_inside(bus, caplog):
    bus.commands.refuse = KeyError("/secret/path")
    name, text = bus.error("Check")
    assert name == "org.otaagent.Agent1.Error.Internal"
    assert "secret" not in text
    assert [record.name for record in caplog.records] == ["agent.dbus"], "told once, by us, not by pydbus"


@pytest.mark.req("T25")
@pytest.mark.parametrize("user", [12345, None])
def test_only_root_and_the_daemons_user_may_change_anything(bus, user, caplog):
    bus.service._manager._caller = lambda _sender: user
    for _ in range(3):
        methods = (("Check", "()", ()), ("Install", "(s)", ("/x",)), ("Cancel", "()", ()), ("Scrub", "(s)", ("B",)))
        for method, signature, arguments in methods:
            name, text = bus.error(method, signature, *arguments)
            assert name == "org.otaagent.Agent1.Error.AccessDenied"
            assert "only root" in text
    assert bus.commands.asked == []
    assert bus.properties("Get", "(ss)", names.MANAGER, "State") == ("idle",), "reading stays open"
    assert len(caplog.records) == 1, "twelve refusals make one warning"


def test_a_caller_who_has_left_is_unknown(bus):
    assert bus.service._caller(":1.9999") is None


@pytest.mark.parametrize(
    ("method", "signature", "arguments"),
    [
        ("Get", "(ss)", (names.MANAGER, "Nothing")),
        ("Get", "(ss)", ("org.nothing", "State")),
        ("Set", "(ssv)", (names.MANAGER, "State", GLib.Variant("s", "x"))),
        ("GetAll", "(s)", ("org.nothing",)),
    ],
)
def test_wrong_properties_are_refused_without_a_traceback(bus, method, signature, arguments, caplog):
    with pytest.raises(GLib.Error) as caught:
        bus.properties(method, signature, *arguments)
    assert Gio.DBusError.get_remote_error(caught.value).startswith("org.freedesktop.DBus.Error.")
    assert caplog.records == []


def test_wrong_arguments_and_unknown_methods_are_refused(bus):
    assert bus.error("Install", "(i)", 5)[0] == "org.freedesktop.DBus.Error.InvalidArgs"
    assert bus.error("Nothing")[0] == "org.freedesktop.DBus.Error.UnknownMethod"


@pytest.mark.req("C06")
def test_a_change_is_announced_from_any_thread_and_only_if_it_is_one(bus):
    bus.service.publish({"State": "idle"})
    thread = threading.Thread(target=bus.service.publish, args=({"State": "staging", "TargetVersion": "2.0"},))
    thread.start()
    thread.join()
    (announced,) = bus.wait_for("PropertiesChanged")
    assert announced == (names.MANAGER, {"State": "staging", "TargetVersion": "2.0"}, [])
    assert bus.properties("Get", "(ss)", names.MANAGER, "State") == ("staging",)


def test_progress_is_announced_at_most_twice_a_second_and_ends_with_the_last_value(bus):
    started = time.monotonic()
    for step in range(131):
        bus.service.publish({"Progress": (step / 130, "writing", step)})
        if step == 50:
            published = time.monotonic()
            bus.service.publish({"State": "staging"})
        time.sleep(0.01)
    bus.wait_for("PropertiesChanged", 4)
    time.sleep(0.7)
    progress = [(at, value[1]["Progress"]) for at, _, value in bus.heard if "Progress" in value[1]]
    assert progress[-1][1] == (1.0, "writing", 130)
    assert len(progress) <= (time.monotonic() - started) * 2 + 1
    gaps = [late[0] - early[0] for early, late in itertools.pairwise(progress)]
    assert all(gap > 0.4 for gap in gaps)
    state = next(at for at, _, value in bus.heard if "State" in value[1])
    assert state - published < 0.45, "a state does not wait for the progress"


@pytest.mark.req("C13")
def test_the_end_of_an_update_is_a_signal_after_its_properties(bus):
    bus.service.publish({"LastResult": ("failure", "2.0", "health.failed", "unit x is failed")})
    bus.service.finished("failure", "2.0", "health.failed")
    assert bus.wait_for("Finished") == [("failure", "2.0", "health.failed")]
    assert [signal for _, signal, _ in bus.heard] == ["PropertiesChanged", "Finished"]


@pytest.mark.parametrize(
    "changes", [{"Nothing": 1}, {"State": 5}, {"Progress": (1, 2)}, {"LastCheck": 1 << 70}, {"State": None}]
)
def test_a_value_of_the_wrong_shape_is_the_callers_error(bus, changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        bus.service.publish(changes)
    assert bus.properties("Get", "(ss)", names.MANAGER, "State") == ("idle",)


@pytest.mark.req("T25")
def test_the_name_cannot_be_stolen_and_a_second_daemon_is_told(bus, tmp_path):
    replace_existing = GLib.Variant("(su)", (names.BUS_NAME, 2 | 4))
    flags = Gio.DBusCallFlags.NONE
    answer = bus.client.call_sync(
        "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", replace_existing, None, flags, 5000, None
    )
    assert answer.unpack() == (3,), "DBUS_REQUEST_NAME_REPLY_EXISTS"
    with pytest.raises(EnvironmentFault, match=re.escape("already owned")) as caught:
        BusService(f"unix:path={tmp_path}/bus", Commands()).start()
    assert caught.value.code == "dbus.name-taken"


def test_a_bus_that_is_not_there_is_explained(tmp_path):
    with pytest.raises(EnvironmentFault) as caught:
        BusService(f"unix:path={tmp_path}/nothing", Commands()).start()
    assert caught.value.code == "dbus.unreachable"
