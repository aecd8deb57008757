"""The finder and the monitor, at real devices: what is seen, what is mounted, and what is left of it."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.disks import mounted, run
from support.faults import failing
from support.filesystems import sized
from support.socket_units import socket_unit
from support.stick import MIB, Stick, image_with, stick

import agent
from agent.bundle.source import FileSource
from agent.daemon.activated import Sockets
from agent.daemon.children import Child, spawn
from agent.errors import OtaError
from agent.media.hotplug import Hotplug, numbers_of
from agent.wire import Channel, Frame

pytestmark = pytest.mark.root
ENTRY = Path(agent.__file__).with_name("__main__.py")


@pytest.fixture
def usb() -> Iterator[Stick]:
    with stick() as made:
        yield made


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "update.raucb"
    path.write_bytes(os.urandom(2 * MIB))
    return path


def look(child: Child, usb: Stick, *filesystems: str) -> Frame:
    kinds = list(filesystems or ("ext4", "squashfs"))
    child.channel.send({"op": "look", "device": usb.node, "filesystems": kinds, "pattern": "*.raucb", "depth": 2})
    return child.receive(20)


def soon(condition: Callable[[], object]) -> bool:
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def code_of(frame: Frame) -> str:
    error = frame.header.get("error")
    return str(error["code"]) if frame.op == "error" and isinstance(error, dict) else frame.op


def opened(child: Child, path: str) -> int:
    child.channel.send({"op": "open", "path": path})
    answer = child.receive(20)
    assert answer.op == "opened", answer.header
    return answer.fds[0]


def mounts_of(usb: Stick) -> set[str]:
    """Which processes see a mount of the stick."""
    number = os.stat(usb.node).st_rdev
    mark = f" {os.major(number)}:{os.minor(number)} "
    seen = set()
    for mountinfo in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            seen |= {mountinfo.parent.name} if mark in mountinfo.read_text() else set()
        except OSError:  # it has ended
            continue
    return seen


@pytest.mark.parametrize("kind", ["ext4", "squashfs"])
def test_a_medium_is_mounted_where_nobody_sees_it_until_the_last_reader_is_gone(
    tmp_path: Path, usb: Stick, bundle: Path, kind: str
) -> None:
    usb.plug(image_with(tmp_path / "stick.img", {"x/update.raucb": bundle}, kind))
    with spawn("finder") as child:
        found = look(child, usb)
        assert found.op == "looked", found.header
        assert [each["path"] for each in found.header["files"]] == ["x/update.raucb"]  # type: ignore[attr-defined,index]
        assert found.header["complete"] is True
        fd = opened(child, "x/update.raucb")
        assert mounts_of(usb) == set()
    try:
        assert os.pread(fd, 4 * MIB, 0) == bundle.read_bytes(), "who reads goes on"
        with pytest.raises(OSError):
            os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    finally:
        os.close(fd)
    usb.pull()  # fails while the device is in use


def test_nothing_is_left_of_a_finder_that_is_killed(tmp_path: Path, usb: Stick, bundle: Path) -> None:
    usb.plug(image_with(tmp_path / "stick.img", {"update.raucb": bundle}))
    with spawn("finder") as child:
        assert look(child, usb).op == "looked"
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(OtaError) as caught:
            child.receive(10)
        assert caught.value.code == "child.died"
    usb.pull()


@pytest.mark.req("T23")
def test_a_medium_cannot_have_the_kernel_panic_by_being_damaged(tmp_path: Path, usb: Stick, bundle: Path) -> None:
    image = image_with(tmp_path / "stick.img", {"update.raucb": bundle})
    run("tune2fs", "-e", "panic", image)
    usb.plug(image)
    with spawn("finder") as child:
        assert look(child, usb).op == "looked"
        options = Path("/proc/fs/ext4", Path(usb.node).name, "options").read_text().split()
    assert [option for option in options if option.startswith("errors=")] == ["errors=remount-ro"]


def test_a_damaged_directory_hides_only_what_is_in_it(tmp_path: Path, usb: Stick, bundle: Path) -> None:
    image = image_with(tmp_path / "stick.img", {"bad/one.raucb": bundle, "good/two.raucb": bundle})
    run("debugfs", "-w", "-R", "zap_block -f bad -p 255 0", image)
    usb.plug(image)
    with spawn("finder") as child:
        found = look(child, usb)
        assert found.op == "looked", found.header
    assert [each["path"] for each in found.header["files"]] == ["good/two.raucb"]  # type: ignore[attr-defined,index]
    assert found.header["complete"] is False


@pytest.mark.req("T23")
def test_nothing_is_written_to_a_medium_that_was_not_unmounted(tmp_path: Path, usb: Stick, bundle: Path) -> None:
    clean = sized(tmp_path / "clean.img", 16 * MIB)
    run("mkfs.ext4", "-q", "-F", clean)
    with mounted(str(clean), tmp_path / "here", "-o", "loop"):
        shutil.copyfile(bundle, tmp_path / "here/update.raucb")
        os.sync()
        (tmp_path / "here/more").write_bytes(b"x")
        subprocess.run(["sync", "-f", tmp_path / "here"], check=True)
        dirty = Path(shutil.copyfile(clean, tmp_path / "dirty.img"))
    assert "needs_recovery" in run("dumpe2fs", "-h", dirty)
    usb.plug(dirty)
    before = digest(usb.node)
    with spawn("finder") as child:
        assert look(child, usb).op == "looked"
        os.close(opened(child, "update.raucb"))
    assert digest(usb.node) == before
    assert digest(str(dirty.with_suffix(".inside"))) == before


def digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_file_system_that_is_not_wanted_or_not_there_reaches_no_driver(
    tmp_path: Path, usb: Stick, bundle: Path
) -> None:
    usb.plug(image_with(tmp_path / "stick.img", {"update.raucb": bundle}))
    with spawn("finder") as child:
        assert code_of(look(child, usb, "vfat", "squashfs")) == "media.filesystem"
        assert look(child, usb).op == "looked", "a refusal is not the end"
    usb.pull()
    usb.plug(sized(tmp_path / "empty.img", MIB))
    with spawn("finder") as child:
        assert code_of(look(child, usb)) == "media.filesystem"
    usb.pull()
    with spawn("finder") as child:
        assert code_of(look(child, usb)) in ("media.unplugged", "media.filesystem")


def test_a_damaged_file_system_is_told_as_such(tmp_path: Path, usb: Stick) -> None:
    broken = sized(tmp_path / "broken.img", MIB)
    with broken.open("r+b") as file:
        file.seek(0x438)
        file.write(b"\x53\xef")
    usb.plug(broken)
    with spawn("finder") as child:
        assert code_of(look(child, usb)) == "media.mount-failed"


def test_what_is_no_block_device_is_not_looked_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for node in (tmp_path / "pipe", tmp_path, tmp_path / "nothing", Path("/dev/zero")):
        with spawn("finder") as child:
            assert code_of(look(child, Stick(str(node)))) in ("media.unreadable", "media.unplugged")


@pytest.mark.req("C15")
def test_a_finder_that_systemd_starts_hands_files_over_and_ends_with_its_connection(
    tmp_path: Path, usb: Stick, bundle: Path
) -> None:
    usb.plug(image_with(tmp_path / "stick.img", {"update.raucb": bundle}))
    with socket_unit(tmp_path / "find.sock", str(ENTRY), "finder") as unit:
        with Sockets({"finder": unit.path}, spawn)("finder") as child:
            assert look(child, usb).op == "looked"
            fd = opened(child, "update.raucb")
            assert os.pread(fd, 4 * MIB, 0) == bundle.read_bytes()
            os.close(fd)
            assert unit.instances()
        assert soon(lambda: not unit.instances())
    usb.pull()


@contextmanager
def unprivileged() -> Iterator[Child]:
    """A finder that is not root."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", str(ENTRY), "finder"], stdin=theirs.fileno(), user="nobody", group="nogroup",
            extra_groups=[],
        )  # fmt: skip
    with Child("finder", process, Channel(ours, "finder")) as child:
        yield child


@pytest.mark.req("C09")
def test_who_may_not_mount_is_told_so(tmp_path: Path, usb: Stick, bundle: Path) -> None:
    usb.plug(image_with(tmp_path / "stick.img", {"update.raucb": bundle}))
    os.chmod(usb.node, 0o644)
    with unprivileged() as child:
        assert code_of(look(child, usb)) == "media.mount-forbidden"
    os.chmod(usb.node, 0o600)
    with unprivileged() as child:
        assert code_of(look(child, usb)) == "media.unreadable"


def test_a_bundle_that_cannot_be_read_any_more_is_worth_another_try(tmp_path: Path) -> None:
    with failing(tmp_path, 4 * MIB, offset=2 * MIB, io="read") as device:
        fd = os.open(device, os.O_RDONLY)
        try:
            source = FileSource(fd)
            assert len(source.read_at(0, MIB)) == MIB
            with pytest.raises(OtaError) as caught:
                source.read_at(2 * MIB, MIB)
        finally:
            os.close(fd)
    assert (caught.value.code, caught.value.retryable) == ("bundle.read-failed", True)


def heard(hotplug: Hotplug) -> frozenset[str]:
    """Waits for an event; returns what was plugged out."""
    assert select.select([hotplug], [], [], 10)[0], "the kernel says something"
    news, gone = hotplug.drain()
    assert news
    return gone


def test_more_events_than_the_buffer_holds_are_news_and_nothing_worse(
    usb: Stick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.media.hotplug._BUFFER", 1)
    hotplug = Hotplug("kernel")

    def endless(*_: object) -> None:
        raise AssertionError("it does not end")

    for _ in range(300):
        Path("/sys/block", Path(usb.node).name, "uevent").write_text("change")
    before = signal.signal(signal.SIGALRM, endless)
    signal.alarm(20)
    try:
        assert hotplug.drain()[0]
        while hotplug.drain()[0]:
            pass
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    Path("/sys/block", Path(usb.node).name, "uevent").write_text("change")
    heard(hotplug)


def test_the_kernel_says_what_is_plugged_in_and_out_and_sysfs_what_it_is(
    tmp_path: Path, usb: Stick, bundle: Path
) -> None:
    inner = image_with(tmp_path / "inner.img", {"update.raucb": bundle})
    disk = sized(tmp_path / "disk.img", inner.stat().st_size + 4 * MIB)
    run("sfdisk", "--quiet", disk, text="label: gpt\nstart=1MiB, size=2MiB\nstart=3MiB\n")
    hotplug = Hotplug("kernel")

    def seen() -> dict[str, tuple[str, int]]:
        return {each.node: (each.sequence, each.size) for each in hotplug.blocks() if each.disk == usb.node}

    empty = seen()
    assert empty[usb.node][1] == 0
    usb.plug(disk, partitions=True)
    heard(hotplug)
    there = seen()
    assert set(there) == {usb.node, f"{usb.node}p1", f"{usb.node}p2"}
    assert there[f"{usb.node}p1"][1] == 2 * MIB
    gone: frozenset[str] = frozenset()
    usb.pull()
    while f"{usb.node}p2" not in gone:
        gone |= heard(hotplug)
    usb.plug(disk, partitions=True)
    assert there[usb.node][0] != seen()[usb.node][0], "another number for what is plugged in again"


def test_the_disk_that_a_path_is_on_is_known() -> None:
    hotplug = Hotplug("kernel")
    disks = {each.node: each for each in hotplug.blocks() if each.node == each.disk}
    with stick() as usb:
        assert hotplug.disks_of(numbers_of([usb.node])) == {usb.node}
    assert hotplug.disks_of(numbers_of(["/proc", "/nothing"])) == set()
    assert hotplug.disks_of(numbers_of(["/"])) <= set(disks)
