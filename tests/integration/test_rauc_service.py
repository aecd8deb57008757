"""RAUC's interface as a process on a bus: its shape, what clients hear and in which order, and what is passed on."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from gi.repository import Gio, GLib
from support.agent_double import Told, agent_double
from support.bus import main_loop, private_bus
from support.facade import Client, facade_on
from support.rauc_bus import rauc_at

from agent.rauc.main import main
from agent.rauc.names import BUSY, INSTALLER, REFUSED

# What Debian's package rauc-service installs.
RAUCS_OWN = Path("/usr/share/dbus-1/interfaces/de.pengutronix.rauc.Installer.xml")
LATER = {"InspectBundle": "sa{sv}>a{sv}", "GetArtifactStatus": ">aa{sv}", "SystemVersion": "s"}  # than RAUC 1.8
SLOTS = {
    "rootfs.0": {"class": "rootfs", "device": "/dev/a", "type": "raw", "bootname": "A", "state": "booted"},
    "rootfs.1": {"class": "rootfs", "device": "/dev/b", "type": "raw", "bootname": "B", "state": "inactive"},
}
REFUSAL = {"LastResult": ["failure", "2", "policy.older", "older"], "LastError": ["policy.older", "older", "newer"]}


class Bench(NamedTuple):
    address: str
    agent: Told
    client: Client
    facade: subprocess.Popen[bytes]


AGENT = {
    "State": "idle", "Compatible": "board", "Variant": "blue", "Slot": "A", "CurrentVersion": "1.0", "Primary": "rootfs.0",
    "Slots": SLOTS,
}  # fmt: skip


@pytest.fixture(scope="module")
def running() -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory() as name, private_bus(Path(name)) as address, main_loop(),
        agent_double(address, **AGENT) as agent, facade_on(address) as facade,
    ):  # fmt: skip
        yield Bench(address, agent, Client(address), facade)


@pytest.fixture
def bench(running: Bench) -> Bench:
    """At rest, after an update that went well."""
    agent, client = running.agent, running.client
    agent.accept()
    for state, told in (("staging", "installing"), ("rebooting", "idle")):
        agent.publish(State=state, LastResult=["", "", "", ""], LastError=["", "", ""], Primary="rootfs.0")
        client.wait_until(lambda told=told: client.properties()["Operation"] == told)
    agent.publish(State="idle")
    client.wait_until(lambda: client.agent("State") == "idle")
    client.heard.clear()
    running.agent.forget()
    return running


def shape(interface: Any) -> dict[str, str]:
    """Every member of an interface with what it takes and gives."""

    def kinds(arguments: Any) -> str:
        return "".join(each.signature for each in arguments)

    return {
        **{each.name: f"{kinds(each.in_args)}>{kinds(each.out_args)}" for each in interface.methods},
        **{each.name: each.signature for each in interface.properties},
        **{each.name: f"!{kinds(each.args)}" for each in interface.signals},
    }


@pytest.mark.req("C44")
def test_the_interface_is_that_of_rauc_and_its_later_members(bench: Bench) -> None:
    xml = bench.client.call("Introspect", interface="org.freedesktop.DBus.Introspectable")[0]
    served = shape(Gio.DBusNodeInfo.new_for_xml(xml).lookup_interface(INSTALLER))
    theirs = shape(Gio.DBusNodeInfo.new_for_xml(RAUCS_OWN.read_text()).lookup_interface(INSTALLER))
    assert served == {**theirs, **LATER}


def test_whoever_comes_finds_what_the_agent_says(bench: Bench) -> None:
    assert bench.client.properties() == {
        "Operation": "idle", "LastError": "", "Progress": (100, "Installing done.", 1), "Compatible": "board",
        "Variant": "blue", "SystemVersion": "1.0", "BootSlot": "A",
    }  # fmt: skip


def test_every_announcement_is_a_message_of_its_own_and_completed_comes_before_idle(bench: Bench) -> None:
    bench.client.call("InstallBundle", "sa{sv}", "/x.raucb", {})
    bench.client.wait_for("property", {"Progress": (0, "Installing", 1)})
    bench.agent.publish(State="staging")
    bench.client.wait_for("property", {"Progress": (20, "Updating slots", 2)})
    bench.agent.publish(State="idle", **REFUSAL)
    assert bench.client.wait_for("property", {"Operation": "idle"}) == [
        ("property", {"Operation": "installing"}),
        ("property", {"Progress": (0, "Installing", 1)}),
        ("property", {"Progress": (20, "Updating slots", 2)}),
        ("property", {"Progress": (100, "Installing failed.", 1)}),
        ("property", {"LastError": "older [policy.older]; next: newer"}),
        ("Completed", 1),
        ("property", {"Operation": "idle"}),
    ]


def test_what_is_wanted_of_the_bundle_is_passed_on(bench: Bench) -> None:
    options = {"require-manifest-hash": GLib.Variant("s", "ab" * 32), "transaction-id": GLib.Variant("s", "t1")}
    bench.client.call("InstallBundle", "sa{sv}", "/x.raucb", options)
    assert bench.agent.called() == ["InstallPath", "/x.raucb", {"manifest-hash": "ab" * 32, "transaction": "t1"}]


def test_the_old_method_installs_too(bench: Bench) -> None:
    bench.client.call("Install", "s", "/x.raucb")
    assert bench.agent.called() == ["InstallPath", "/x.raucb", {}]


def test_a_bundle_that_is_not_there_ends_as_with_rauc(bench: Bench) -> None:
    bench.agent.refuse("InstallPath", "bundle.not-found", "there is no such bundle")
    bench.client.call("InstallBundle", "sa{sv}", "/x.raucb", {})
    heard = bench.client.wait_for("property", {"Operation": "idle"})
    assert heard[-2:] == [("Completed", 1), ("property", {"Operation": "idle"})]
    assert ("property", {"LastError": "there is no such bundle [bundle.not-found]; next: try something else"}) in heard


def refused(bench: Bench, method: str, signature: str, *values: object) -> tuple[str, str]:
    with pytest.raises(GLib.Error) as caught:
        bench.client.call(method, signature, *values)
    name = Gio.DBusError.get_remote_error(caught.value)
    return name, caught.value.message.removeprefix(f"GDBus.Error:{name}: ")


def test_a_busy_agent_is_refused_in_raucs_words_and_with_its_error(bench: Bench) -> None:
    bench.agent.refuse("InstallPath", "update.busy", "another update is under way")
    name, text = refused(bench, "InstallBundle", "sa{sv}", "/x.raucb", {})
    assert (name, text.startswith(BUSY)) == (REFUSED, True)
    assert bench.client.heard == [], "and nobody is told that something has ended"


def test_a_second_order_does_not_end_the_first(bench: Bench) -> None:
    bench.agent.publish(State="staging")
    bench.client.wait_for("property", {"Operation": "installing"})
    assert refused(bench, "InstallBundle", "sa{sv}", "/x.raucb", {})[1].startswith(BUSY)
    assert bench.client.properties()["Operation"] == "installing"


def test_reading_works_while_an_update_is_under_way(bench: Bench) -> None:
    bench.agent.publish(State="staging")
    bench.client.wait_for("property", {"Operation": "installing"})
    assert [name for name, _ in bench.client.call("GetSlotStatus")[0]] == ["rootfs.0", "rootfs.1"]
    assert bench.client.call("GetPrimary") == ("rootfs.0",)


def test_without_a_slot_that_boots_there_is_no_primary(bench: Bench) -> None:
    bench.agent.publish(Primary="")
    bench.client.wait_until(lambda: bench.client.agent("Primary") == "")
    name, text = refused(bench, "GetPrimary", "")
    assert (name, text.partition(":")[0]) == (REFUSED, "Failed getting primary slot")


def test_a_mark_that_is_refused_says_what_failed_as_rauc_does(bench: Bench) -> None:
    bench.agent.refuse("Mark", "mark.dangerous", "the device might not boot any more")
    for state, begin in (
        ("bad", "Failed marking slot rootfs.0 as bad: "),
        ("active", "failed to activate slot rootfs.0: "),
    ):
        name, text = refused(bench, "Mark", "ss", state, "booted")
        assert name == REFUSED
        assert text.startswith(f"{begin}the device might not boot any more")


def test_an_agent_that_ends_in_the_middle_and_comes_back_goes_on(tmp_path: Path) -> None:
    busy = {**AGENT, "State": "staging"}
    with private_bus(tmp_path) as address, main_loop(), ExitStack() as stack:
        with agent_double(address, **busy):
            stack.enter_context(facade_on(address))
            client = Client(address)
            assert client.properties()["Operation"] == "installing"
        with agent_double(address, **busy) as agent:
            agent.publish(State="rebooting")
            assert ("Completed", 0) in client.wait_for("property", {"Operation": "idle"})
        client.close()


def test_the_name_cannot_be_taken_from_it(bench: Bench) -> None:
    arguments = ["--print-reply=literal", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.RequestName"]
    command = ["dbus-send", f"--bus={bench.address}", *arguments, "string:de.pengutronix.rauc", "uint32:2"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "2", "queued behind the owner, who stays"


def test_arguments_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["--bus="], ["/etc/x.toml"]):
        assert main(words) == 2
        assert "usage: ota-agent rauc-service" in capsys.readouterr().err


def test_it_leaves_with_status_0(tmp_path: Path) -> None:
    with private_bus(tmp_path) as address, agent_double(address, **AGENT), facade_on(address) as facade:
        assert rauc_at(address, "status").returncode == 0
        facade.terminate()
        assert facade.wait(10) == 0
        assert rauc_at(address, "status").returncode != 0
