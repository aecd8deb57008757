"""Files that go over the bus: bundles in, documents out; nothing else is taken for one, and no descriptor is left behind."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gi.repository import GLib
from support.asked import Asked
from support.bus import main_loop, private_bus

from agent.audit.port import Unrecorded
from agent.bus.calls import Bus, BusCallError
from agent.bus.serve import Call, Later
from agent.daemon.dbus_names import AUDIT, BUS_NAME, MANAGER, OBJECT_PATH
from agent.daemon.dbus_service import BusService
from agent.daemon.requests import Requests
from agent.errors import PolicyError

ERROR = "org.otaagent.Agent1.Error"


class Log(Unrecorded):
    """An audit log that is slow to read when a test wants it to be."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()

    def export(self) -> Iterator[bytes]:
        return iter([b"one\n" * 40_000, b"two\n"])

    def verify(self) -> tuple[bool, int]:
        self.go_on.wait(20)
        return False, 3


class World:
    def __init__(self, address: str) -> None:
        self.asked = Asked()
        self.log = Log()
        self.service = BusService(address, self.asked, self.asked, self.log, {"CurrentVersion": "1.0"})
        self.service.start()
        self.bus = Bus(address)

    def call(self, method: str, signature: str, *values: object, fd: int | None = None, interface: str = MANAGER):
        fds = [] if fd is None else [fd]
        return self.bus.call(BUS_NAME, OBJECT_PATH, interface, method, signature, *values, fds=fds)

    def error(self, method: str, signature: str, *values: object, fd: int | None = None) -> str:
        with pytest.raises(BusCallError) as caught:
            self.call(method, signature, *values, fd=fd)
        return caught.value.name


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with private_bus(tmp_path) as address, main_loop():
        world = World(address)
        yield world
        world.log.go_on.set()
        world.service.stop()
        world.bus.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "update.raucb").write_text("a bundle")
    fd = os.open(tmp_path / "update.raucb", os.O_RDONLY)
    yield fd
    os.close(fd)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_bundle_is_handed_over_with_its_name(world, bundle):
    options = {"name": GLib.Variant("s", "of the stick"), "other": GLib.Variant("b", True)}
    assert world.call("InstallFile", "ha{sv}", 0, options, fd=bundle) == ()
    assert world.asked.asked == [("install_file", "a bundle", "of the stick", {"other": True})]


def test_a_name_that_is_no_text_is_an_option_that_nobody_knows(world, bundle):
    world.call("InstallFile", "ha{sv}", 0, {"name": GLib.Variant("i", 5)}, fd=bundle)
    assert world.asked.asked == [("install_file", "a bundle", "", {"name": 5})]


def test_a_call_without_its_descriptor_is_refused(world, bundle):
    assert world.error("InstallFile", "ha{sv}", 0, {}) == "org.freedesktop.DBus.Error.InvalidArgs"
    assert world.error("InstallFile", "ha{sv}", 7, {}, fd=bundle) == "org.freedesktop.DBus.Error.InvalidArgs"
    assert world.asked.asked == []


def test_no_descriptor_stays_open_whatever_becomes_of_the_call(world, bundle):
    world.call("InstallFile", "ha{sv}", 0, {}, fd=bundle)
    before = open_files()
    for _ in range(30):
        world.call("InstallFile", "ha{sv}", 0, {}, fd=bundle)
        world.error("Install", "s", "relative", fd=bundle)
        world.error("Export", "hs", 0, "audit", fd=bundle)
    assert open_files() < before + 15, "ninety were handed over; the last ones may still be closing"


@pytest.mark.req("C08")
@pytest.mark.parametrize("kind", ["audit", "status"])
def test_a_document_is_written_into_the_file_of_the_caller(world, tmp_path, kind):
    path = tmp_path / "document"
    with path.open("wb") as file:
        world.call("Export", "hs", 0, kind, fd=file.fileno())
    text = path.read_text()
    if kind == "audit":
        assert text == "one\n" * 40_000 + "two\n"
    else:
        assert json.loads(text)["Manager"]["CurrentVersion"] == "1.0"


@pytest.mark.parametrize("mode", [os.O_RDONLY, os.O_RDWR, os.O_PATH], ids=["reading", "both", "path"])
def test_only_a_file_that_the_caller_has_opened_for_writing_is_written(world, tmp_path, mode):
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", mode)
    assert world.error("Export", "hs", 0, "status", fd=fd) == f"{ERROR}.ExportDescriptor"
    os.close(fd)


def test_a_pipe_that_nobody_reads_cannot_hold_us(world):
    reading, writing = os.pipe()
    assert world.error("Export", "hs", 0, "status", fd=writing) == f"{ERROR}.ExportDescriptor"
    os.close(reading)
    os.close(writing)


def test_a_file_that_its_file_system_does_not_show_us_is_refused_without_holding_others_up():
    """FUSE shows root nothing of the mounts of others, and may take as long as it likes to say so."""
    asked = Asked()
    requests = Requests(asked, asked, Log(), dict)
    answer = requests.call(Call("Manager", "Export", (987, "audit"), ":1.1", 1000))
    assert isinstance(answer, Later)
    with pytest.raises(PolicyError) as caught:
        answer.work()
    assert caught.value.code == "export.descriptor"


def test_another_document_does_not_exist_and_a_full_disk_is_told(world, tmp_path):
    with (tmp_path / "file").open("wb") as file:
        assert world.error("Export", "hs", 0, "secrets", fd=file.fileno()) == f"{ERROR}.ExportKind"
    limited = Path("/dev/shm") / f"ota-test-{os.getpid()}"
    with limited.open("wb") as file:
        limited.unlink()
        import resource

        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))  # Python ignores SIGXFSZ: the write fails with EFBIG
        try:
            assert world.error("Export", "hs", 0, "audit", fd=file.fileno()) == f"{ERROR}.ExportFailed"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_an_answer_that_takes_time_holds_nobody_up_and_only_some_are_worked_out_at_once(world):
    world.log.go_on.clear()
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(world.call("Verify", "", interface=AUDIT))
        except BusCallError as error:
            answers.append(error.name)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 10
    while len(answers) < 2 and time.monotonic() < end:
        assert world.bus.get(BUS_NAME, OBJECT_PATH, MANAGER, "State") == "idle", "others are served"
    assert answers == [f"{ERROR}.AccessBusy"] * 2
    world.log.go_on.set()
    for thread in threads:
        thread.join()
    assert answers[2:] == [(False, 3)] * 4
