"""Promises of the service as a process: no leak, alive without a bus, leaves cleanly."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest
from gi.repository import Gio, GLib
from support.bus import bus_process, connect, private_bus, served

from agent.daemon import dbus_names as names

# 100,000 take a minute and are asked for by `make test-dbus-calls`; what leaks shows with fewer.
CALLS = int(os.environ.get("OTA_DBUS_CALLS", "6000"))
MOST = 1024 * 1024  # bytes


def rss(pid: int) -> int:
    """Resident memory in bytes."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096


def line(process, seconds: float = 5.0) -> str:
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    assert ready, "silence"
    return process.stdout.readline().strip()


def flood(address: str, calls: int) -> None:
    """Makes many calls of all kinds, a dozen under way at a time."""
    connection = connect(address)
    context = GLib.MainContext.default()
    kinds = [
        ("org.freedesktop.DBus.Properties", "GetAll", GLib.Variant("(s)", (names.MANAGER,))),
        ("org.freedesktop.DBus.Properties", "Get", GLib.Variant("(ss)", (names.MANAGER, "State"))),
        (names.MANAGER, "Cancel", None),
        (names.UPDATE, "Summary", GLib.Variant("(s)", ("de",))),
        (names.AUDIT, "Verify", None),
        ("org.freedesktop.DBus.Properties", "Get", GLib.Variant("(ss)", (names.MANAGER, "Nothing"))),
    ]
    answered = 0

    def done(source, result) -> None:
        nonlocal answered
        answered += 1
        try:
            source.call_finish(result)
        except GLib.Error as error:
            if not Gio.DBusError.is_remote_error(error):
                raise

    for number in range(calls):
        interface, method, arguments = kinds[number % len(kinds)]
        connection.call(
            names.BUS_NAME,
            names.OBJECT_PATH,
            interface,
            method,
            arguments,
            None,
            Gio.DBusCallFlags.NONE,
            20000,
            None,
            done,
        )
        while number - answered > 12:
            context.iteration(True)
    while answered < calls:
        context.iteration(True)
    connection.close_sync(None)


@pytest.mark.slow
@pytest.mark.req("T25")
def test_calls_leak_nothing(tmp_path):
    with private_bus(tmp_path) as address, served(address) as process:
        flood(address, 2000)
        before = rss(process.pid)
        flood(address, CALLS)
        grown = rss(process.pid) - before
    assert grown < MOST * max(0.5, CALLS / 100_000), f"{grown / CALLS:.0f} bytes for each call"


@pytest.mark.req("T25")
def test_a_client_that_does_not_wait_for_answers_fills_no_memory_and_keeps_nobody_waiting(tmp_path):
    with private_bus(tmp_path) as address, served(address) as process:
        other, flooding = connect(address), connect(address)
        ask(other)
        before = rss(process.pid)
        for _ in range(4000):
            flooding.send_message(everything(), Gio.DBusSendMessageFlags.NONE)
        flooding.flush_sync(None)
        assert ask(other) == "idle"
        assert rss(process.pid) - before < 2 * MOST, "each that waits takes 2 kB"
        with pytest.raises(GLib.Error, match="LimitsExceeded"):
            ask(flooding)


def ask(connection: Gio.DBusConnection) -> str:
    message, _ = connection.send_message_with_reply_sync(
        reading("Get", names.MANAGER, "State"), Gio.DBusSendMessageFlags.NONE, 60_000, None
    )
    message.to_gerror()
    return message.get_body().unpack()[0]


def everything() -> Gio.DBusMessage:
    """A call that takes longer to answer than to send, and whose answer nobody waits for."""
    message = reading("GetAll", names.MANAGER)
    message.set_flags(Gio.DBusMessageFlags.NO_REPLY_EXPECTED)
    return message


def reading(method: str, *arguments: str) -> Gio.DBusMessage:
    message = Gio.DBusMessage.new_method_call(
        names.BUS_NAME, names.OBJECT_PATH, "org.freedesktop.DBus.Properties", method
    )
    message.set_body(GLib.Variant(f"({'s' * len(arguments)})", arguments))
    return message


@pytest.mark.req("C13")
def test_the_death_of_the_bus_is_reported_and_does_not_end_the_process(tmp_path):
    with bus_process(tmp_path) as (address, daemon), served(address) as process:
        daemon.kill()
        assert line(process) == "lost"
        process.stdin.write("publish State staging\n")
        process.stdin.flush()
        time.sleep(0.3)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(5) == 0, "it can still end in an orderly way"


def test_leaving_gives_the_name_back(tmp_path):
    with private_bus(tmp_path) as address:
        for _ in range(2):
            with served(address) as process:
                process.stdin.close()
                assert process.wait(5) == 0


@pytest.mark.req("C13")
def test_the_service_alone_is_small(tmp_path):
    with private_bus(tmp_path) as address, served(address) as process:
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        assert "_ssl" not in maps
        assert "_rust" not in maps, "cryptography"
        assert rss(process.pid) < 40 * 1024 * 1024
