"""Promises of outgoing calls, on a real dbus-daemon with a real service in another process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.bus import bus_process, private_bus

from agent.bus.calls import Bus, BusCallError

PEER = ("org.example.Peer", "/peer", "org.example.Peer")


@contextmanager
def peer(address: str) -> Iterator[None]:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-m", "support.bus_peer", address],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    with private_bus(tmp_path_factory.mktemp("bus")) as address, peer(address):
        yield address


@pytest.fixture
def bus(address) -> Iterator[Bus]:
    bus = Bus(address)
    yield bus
    bus.close()


def refusal(bus: Bus, method: str, *, service: str = PEER[0], timeout: float = 5.0) -> BusCallError:
    with pytest.raises(BusCallError) as caught:
        bus.call(service, PEER[1], PEER[2], method, timeout=timeout)
    return caught.value


def test_values_go_there_and_back(bus):
    from gi.repository import GLib

    answer = bus.call(*PEER, "Echo", "sa{sv}", "grüezi", {"n": GLib.Variant("u", 7)})
    assert answer == ("grüezi", {"n": 7})


def test_a_property_is_read(bus):
    assert bus.get(*PEER, "Colour") == "green"


def test_the_error_of_the_other_side_keeps_its_name(bus):
    error = refusal(bus, "Refuse")
    assert (error.name, error.message) == ("org.example.Error.No", "not today")


def test_nobody_of_that_name_is_an_error_of_the_bus(bus):
    assert refusal(bus, "Echo", service="org.example.Nobody").name == "org.freedesktop.DBus.Error.ServiceUnknown"


def test_silence_ends_with_the_timeout(bus):
    assert refusal(bus, "Silence", timeout=0.05).name == "timeout"


def test_a_descriptor_goes_along_and_stays_ours(bus, tmp_path):
    (tmp_path / "text").write_text("by descriptor")
    with (tmp_path / "text").open("rb") as file:
        assert bus.call(*PEER, "Read", "h", 0, fds=[file.fileno()]) == ("by descriptor",)
        os.fstat(file.fileno())


def test_a_descriptor_comes_back_and_is_not_inherited_by_children(bus):
    name, _index, (fd,) = bus.call(*PEER, "Open")
    try:
        assert (name, os.get_inheritable(fd)) == ("comm", False)
        assert os.pread(fd, 100, 0)
    finally:
        os.close(fd)


def test_calls_leave_no_descriptor_behind(bus, tmp_path):
    (tmp_path / "text").write_text("x")
    bus.get(*PEER, "Colour")
    with (tmp_path / "text").open("rb") as file:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            os.close(bus.call(*PEER, "Open")[2][0])
            bus.call(*PEER, "Read", "h", 0, fds=[file.fileno()])
        assert len(os.listdir("/proc/self/fd")) < before + 10, "a connection of another test may just be closing"


def test_threads_share_one_connection(bus):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(bus.get(*PEER, "Colour"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["green"] * 8
    names = bus.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ListNames")[0]
    assert len([name for name in names if name.startswith(":")]) == 2, "ours and the peer's"


def test_without_a_bus_every_call_is_unreachable(tmp_path):
    assert refusal(Bus("none"), "Echo").name == "unreachable"
    assert refusal(Bus(f"unix:path={tmp_path}/nobody"), "Echo").name == "unreachable"


def test_a_bus_that_never_answers_does_not_hold_us(tmp_path):
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        deaf.listen()
        assert refusal(Bus(f"unix:path={tmp_path}/deaf"), "Echo", timeout=0.05).name == "timeout"


@pytest.mark.req("C13")
def test_a_bus_that_was_restarted_is_found_again(tmp_path):
    bus = Bus(f"unix:path={tmp_path}/bus")
    for _ in range(2):
        with bus_process(tmp_path) as (address, daemon), peer(address):
            assert bus.get(*PEER, "Colour") == "green"
            daemon.kill()
            daemon.wait()
            end = time.monotonic() + 5
            while (name := refusal(bus, "Echo").name) != "unreachable":  # in between the bus says that it is ending
                assert time.monotonic() < end, name
    bus.close()
