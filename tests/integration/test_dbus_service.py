"""Promises of the D-Bus interface, on a real bus, by raw calls as busctl makes them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gi.repository import Gio, GLib
from support.asked import Asked
from support.bus import connect, main_loop, private_bus

from agent.audit.port import Unrecorded
from agent.bus.interface import read
from agent.daemon import dbus_names as names
from agent.daemon.dbus_service import BusService
from agent.errors import EnvironmentFault, PolicyError


def service(address: str, asked: Asked) -> BusService:
    return BusService(address, asked, asked, Unrecorded(), {"CurrentVersion": "1.0", "BootId": "b-1"})


class Bus:
    """The service, a client, and what the client has heard."""

    def __init__(self, address: str) -> None:
        self.commands = Asked()
        self.service = service(address, self.commands)
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
@pytest.mark.parametrize("interface", read(), ids=lambda each: each.short)
def test_every_property_can_be_read_with_its_declared_signature(bus, interface):
    parameters = GLib.Variant("(s)", (interface.name,))
    answer = bus.client.call_sync(
        names.BUS_NAME, names.OBJECT_PATH, "org.freedesktop.DBus.Properties", "GetAll", parameters, None,
        Gio.DBusCallFlags.NONE, 5000, None,
    )  # fmt: skip
    values = answer.get_child_value(0)
    kinds = {
        pair.get_child_value(0).get_string(): pair.get_child_value(1).get_variant().get_type_string()
        for pair in (values.get_child_value(index) for index in range(values.n_children()))
    }
    assert kinds == {row.name: row.signature for row in interface.properties}
    for row in interface.properties:
        assert bus.properties("Get", "(ss)", interface.name, row.name)[0] == answer.unpack()[0][row.name]


def test_introspection_shows_every_member_and_nothing_of_the_prose(bus):
    text = bus.call("Introspect", interface="org.freedesktop.DBus.Introspectable")[0]
    node = Gio.DBusNodeInfo.new_for_xml(text)
    for each in read():
        info = node.lookup_interface(each.name)
        assert {item.name: item.signature for item in info.properties} == {
            row.name: row.signature for row in each.properties
        }
        assert [item.name for item in info.methods] == [row.name for row in each.methods]
        assert [item.name for item in info.signals] == [row.name for row in each.signals]
        assert not any(item.flags & Gio.DBusPropertyInfoFlags.WRITABLE for item in info.properties)
    assert "DocString" not in text


@pytest.mark.parametrize(
    ("interface", "call", "asked"),
    [
        (names.MANAGER, ("Check",), ("check",)),
        (names.MANAGER, ("Install", "(s)", "/tmp/a.raucb"), ("install", "/tmp/a.raucb")),
        (names.MANAGER, ("Cancel",), ("cancel",)),
        (names.MANAGER, ("Scrub", "(s)", "B"), ("scrub", "B")),
        (names.MANAGER, ("Mark", "(ss)", "good", "other"), ("mark", "good", "other")),
        (names.UPDATE, ("Approve", "(s)", "7"), ("approve", "7")),
        (names.UPDATE, ("Deny", "(ss)", "7", "no"), ("deny", "7", "no")),
        (names.UPDATE, ("Postpone", "(u)", 60), ("postpone", 60)),
        (names.UPDATE, ("InstallNow",), ("install_now",)),
        (names.POLICY, ("Set", "(sv)", "Approval", GLib.Variant("s", "auto")), ("set", "Approval", "auto")),
        (names.POLICY, ("Reset",), ("reset",)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_every_method_reaches_its_command(bus, interface, call, asked):
    assert bus.call(*call, interface=interface) == ()
    assert bus.commands.asked == [asked]


def test_what_only_reads_is_answered(bus):
    assert bus.call("Summary", "(s)", "de", interface=names.UPDATE) == ("summary in de",)
    assert bus.call("UserAction", "(s)", "de", interface=names.UPDATE) == ("action in de",)
    assert bus.call("Verify", interface=names.AUDIT) == (True, 0)
    assert bus.call("Tail", "(u)", 5, interface=names.AUDIT) == ([],)


@pytest.mark.parametrize(
    ("path", "error"),
    [("relative", "InstallPath"), ("", "InstallPath"), ("/" + "a" * 5000, "DbusArgument")],
    ids=["relative", "empty", "long"],
)
def test_only_an_absolute_path_of_sane_length_is_taken(bus, path, error):
    assert bus.error("Install", "(s)", path)[0] == f"org.otaagent.Agent1.Error.{error}"
    assert bus.commands.asked == []


def test_a_call_that_is_too_large_is_refused_before_anybody_looks_at_it(bus):
    assert bus.error("Install", "(s)", "/" + "a" * 70_000)[0] == "org.freedesktop.DBus.Error.LimitsExceeded"
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
        if step % 20 == 10:
            bus.service.publish({"State": ("idle", "staging")[step // 20 % 2]})
        time.sleep(0.01)
    published = time.monotonic() - started
    bus.wait_for("PropertiesChanged", 4)
    time.sleep(0.7)
    progress = [(at, value[1]["Progress"]) for at, _, value in bus.heard if "Progress" in value[1]]
    assert progress[-1][1] == (1.0, "writing", 130)
    assert len(progress) <= published * 2 + 2  # the first at once, and what is left in the end
    states = [value[1] for _, _, value in bus.heard if "State" in value[1]]
    assert any("Progress" not in value for value in states), "a state does not wait for the progress"


@pytest.mark.req("C13")
def test_the_end_of_an_update_is_a_signal_after_its_properties(bus):
    bus.service.publish({"LastResult": ("failure", "2.0", "health.failed", "unit x is failed")})
    bus.service.publish({"Finished": ("failure", "2.0", "health.failed")})
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
        service(f"unix:path={tmp_path}/bus", Asked()).start()
    assert caught.value.code == "dbus.name-taken"


def test_a_bus_that_is_not_there_is_explained(tmp_path):
    with pytest.raises(EnvironmentFault) as caught:
        service(f"unix:path={tmp_path}/nothing", Asked()).start()
    assert caught.value.code == "dbus.unreachable"
