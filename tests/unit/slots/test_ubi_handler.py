"""Promises of ubivol and ubifs, over a kernel in memory that keeps the rules of drivers/mtd/ubi (cdev.c, upd.c)."""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support.media import Watcher, content

from slots import ioctls, ubi_volume
from slots.errors import SlotError
from slots.handlers.port import Content, Written
from slots.handlers.ubi import UbiVolume, handler, open_volume
from slots.model import Slot

pytestmark = pytest.mark.root
LEB, EBS = 15872, 12
ROOM = LEB * EBS
IMAGE = random.Random(1).randbytes(100_001)


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@dataclass
class Kernel:
    """UBI device 0 with volume 1; sysfs and procfs are folders."""

    root: Path
    static: bool = False
    data: bytes = b"\xff" * ROOM
    writers: int = 0
    readers: int = 0
    breaks_at: int | None = None  # byte of an update at which the flash memory fails
    rots: bool = False
    node: Path = field(init=False)

    def __post_init__(self) -> None:
        self.node = self.root / "ubi0_1"
        os.mknod(self.node, stat.S_IFCHR | 0o600, os.makedev(250, 2))
        self.folder = self.root / "sys/class/ubi/ubi0_1"
        self.folder.mkdir(parents=True)
        links = self.root / "sys/dev/char"
        links.mkdir(parents=True)
        (links / "250:2").symlink_to(self.folder)
        (links / "250:1").symlink_to(self.root / "sys/class/ubi/ubi0_0")
        (self.root / "proc/self").mkdir(parents=True)
        (self.root / "proc/self/mountinfo").write_text("")
        (self.root / "proc/swaps").write_text("Filename Type Size Used Priority\n")
        self.say(name="rootfs-b", type="static" if self.static else "dynamic", reserved_ebs=EBS, usable_eb_size=LEB,
                 data_bytes=0 if self.static else ROOM, upd_marker=0, corrupted=0)  # fmt: skip

    def say(self, **facts: object) -> None:
        for name, value in facts.items():
            (self.folder / name).write_text(f"{value}\n")

    def told(self, name: str) -> str:
        return (self.folder / name).read_text().strip()

    def mounted(self, kind: str, source: str, number: str = "0:31") -> None:
        (self.root / "proc/self/mountinfo").write_text(f"36 25 {number} / /mnt/b rw shared:1 - {kind} {source} rw\n")

    @contextmanager
    def open(self, path: str, *, writable: bool) -> Iterator[Descriptor]:
        assert path == str(self.node)
        if writable and self.writers:
            raise failure(errno.EBUSY)
        self.writers += writable
        self.readers += not writable
        try:
            yield Descriptor(self, writable)
        finally:
            self.writers -= writable
            self.readers -= not writable


@dataclass
class Descriptor:
    kernel: Kernel
    writable: bool
    expected: int | None = None
    received: bytes = b""
    position: int = 0

    def start_update(self, size: int) -> None:
        if not self.writable:
            raise failure(errno.EROFS)
        if not 0 <= size <= ROOM:
            raise failure(errno.EINVAL)
        if self.kernel.writers + self.kernel.readers > 1:
            raise failure(errno.EBUSY)
        self.kernel.say(upd_marker=1)
        self.kernel.data = b"\xff" * ROOM
        self.expected, self.received = size, b""
        if size == 0:
            self._finish()

    def write(self, data: bytes) -> int:
        if self.expected is None:
            raise failure(errno.EPERM)
        if self.kernel.breaks_at is not None and len(self.received) + len(data) > self.kernel.breaks_at:
            raise failure(errno.EIO)
        taken = data[: min(self.expected - len(self.received), 40_000)]
        self.received += taken
        if len(self.received) == self.expected:
            self._finish()
        return len(taken)

    def _finish(self) -> None:
        kernel, received = self.kernel, bytearray(self.received)
        if kernel.rots:
            received[7] ^= 1
        kernel.data = bytes(received) if kernel.static else bytes(received) + b"\xff" * (ROOM - len(received))
        kernel.say(upd_marker=0, data_bytes=len(kernel.data), corrupted=int(kernel.static and kernel.rots))
        self.expected = None

    def read(self, length: int) -> bytes:
        if self.expected is not None:
            raise failure(errno.EBUSY)
        if self.kernel.told("upd_marker") != "0":
            raise failure(errno.EBADF)
        piece = self.kernel.data[self.position : self.position + length]
        self.position += len(piece)
        return piece


@pytest.fixture(params=[False, True], ids=["dynamic", "static"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Kernel:
    return Kernel(tmp_path, static=request.param)


@pytest.fixture
def dynamic(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def slot(kernel: Kernel, device: str | Path = "", *, readonly: bool = False) -> Slot:
    return Slot("rootfs.1", "rootfs", 1, str(device or kernel.node), "ubivol", bootname="B", readonly=readonly)


def volume(kernel: Kernel) -> UbiVolume:
    return UbiVolume(sysfs=str(kernel.root / "sys"), proc=str(kernel.root / "proc"), opener=kernel.open)


def install(kernel: Kernel, image: Content, *booted: str, watch: Watcher | None = None) -> Written:
    handled = volume(kernel)
    return handled.install(slot(kernel), image, booted=booted, start=0, watch=watch or Watcher())


def refused(kernel: Kernel, image: Content, *booted: str) -> SlotError:
    with pytest.raises(SlotError) as caught:
        install(kernel, image, *booted)
    return caught.value


def not_touched(kernel: Kernel, size: int = 1, target: Slot | None = None) -> SlotError:
    with pytest.raises(SlotError) as caught:
        volume(kernel).preflight(target or slot(kernel), "squashfs", size)
    assert kernel.data == b"\xff" * ROOM
    return caught.value


@pytest.mark.req("C11")
@pytest.mark.parametrize("size", [0, 1, LEB, ROOM - 1, ROOM])
def test_an_image_of_any_size_arrives_and_is_read_back(kernel: Kernel, size: int) -> None:
    image, watch = random.Random(size).randbytes(size), Watcher()
    volume(kernel).preflight(slot(kernel), "raw", size)
    outcome = install(kernel, content(image), watch=watch)
    assert kernel.data[:size] == image
    assert kernel.told("upd_marker") == "0"
    assert (outcome.digest, outcome.written) == (content(image).sha256, size)
    assert not size or watch.written[-1] == watch.read[-1] == size


@pytest.mark.parametrize("same", [True, False])
def test_an_image_that_the_volume_holds_is_left_alone_if_that_is_said(kernel: Kernel, same: bool) -> None:
    install(kernel, content(IMAGE))
    target = replace(slot(kernel), install_same=False)
    image = content(IMAGE if same else IMAGE[:-1])
    outcome = volume(kernel).install(target, image, booted=(), start=0, watch=Watcher())
    assert outcome.skipped == (image.size if same or not kernel.static else 0)
    assert kernel.data.startswith(IMAGE[: image.size])


@pytest.mark.req("S08")
@pytest.mark.parametrize("stage", [0, 1, 50_000, 99_999])
def test_an_update_that_stops_leaves_the_mark_of_ubi_and_the_next_one_succeeds(kernel: Kernel, stage: int) -> None:
    kernel.breaks_at = stage
    assert refused(kernel, content(IMAGE)).code == "slot.write-failed"
    assert kernel.told("upd_marker") == "1"
    kernel.breaks_at = None
    install(kernel, content(IMAGE))
    assert kernel.data.startswith(IMAGE)


@pytest.mark.req("C11")
def test_a_volume_that_gives_back_something_else_is_found_out(kernel: Kernel) -> None:
    kernel.rots = True
    assert refused(kernel, content(IMAGE)).code == ("slot.read-failed" if kernel.static else "slot.read-back")


@pytest.mark.parametrize("size", [len(IMAGE), 3 * 1024 * 1024 + 5], ids=["at-once", "on-the-way"])
@pytest.mark.parametrize("more", [-1, 1])
def test_an_image_of_another_size_than_announced_never_counts_as_whole(
    kernel: Kernel, size: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOM", 2 * size)
    kernel.say(reserved_ebs=2 * size // LEB + 1)
    assert refused(kernel, content(bytes(size), told=size + more)).code == "slot.size-mismatch"
    assert kernel.told("upd_marker") == ("0" if size == len(IMAGE) else "1")


def test_what_the_source_says_first_is_heard_before_the_volume_is_emptied(kernel: Kernel) -> None:
    def broken(start: int) -> Iterator[bytes]:
        raise ConnectionError
        yield b""

    with pytest.raises(ConnectionError):
        install(kernel, Content("image", "raw", 10, "", broken))
    assert kernel.told("upd_marker") == "0"


@pytest.mark.req("S03")
def test_an_image_larger_than_the_volume_is_refused(kernel: Kernel) -> None:
    error = not_touched(kernel, ROOM + 1)
    assert error.code == "slot.too-small"
    assert str(ROOM) in error.details


@pytest.mark.parametrize("who", ["reader", "writer"])
def test_a_volume_that_another_process_has_open_is_busy(kernel: Kernel, who: str) -> None:
    with kernel.open(str(kernel.node), writable=who == "writer"):
        assert refused(kernel, content(IMAGE)).code == "slot.busy"
    assert kernel.told("upd_marker") == "0"


@pytest.mark.req("T05", "S30")
@pytest.mark.parametrize("source", ["ubi0_1", "ubi0:rootfs-b", "ubi0!rootfs-b", "ubi:rootfs-b", "/gone", "what"])
def test_a_mounted_ubifs_is_refused_however_it_was_named(dynamic: Kernel, source: str) -> None:
    dynamic.mounted("ubifs", source)
    error = not_touched(dynamic)
    assert error.code == "slot.mounted"
    assert "/mnt/b" in error.details


@pytest.mark.parametrize("source", ["ubi0_0", "ubi0", "ubi0:rootfs-a", "ubi1_1", "ubi1:rootfs-b", "ubi:data"])
def test_other_mounted_volumes_do_no_harm(dynamic: Kernel, source: str) -> None:
    dynamic.mounted("ubifs", source)
    volume(dynamic).preflight(slot(dynamic), "ubifs", 1)


@pytest.mark.req("T05")
def test_a_mounted_block_device_of_the_volume_is_refused(dynamic: Kernel) -> None:
    folder = dynamic.root / "sys/block/ubiblock0_1"
    folder.mkdir(parents=True)
    (folder / "dev").write_text("252:7\n")
    volume(dynamic).preflight(slot(dynamic), "squashfs", 1)
    dynamic.mounted("squashfs", "/dev/root", "252:7")
    assert not_touched(dynamic).code == "slot.mounted"


@pytest.mark.req("T05", "S30")
def test_the_running_volume_is_refused_by_node_and_by_block_device(dynamic: Kernel) -> None:
    links = dynamic.root / "sys/dev/block"
    links.mkdir(parents=True)
    block = dynamic.root / "ubiblock0_1"
    os.mknod(block, stat.S_IFBLK | 0o600, os.makedev(252, 7))
    (links / "252:7").symlink_to(dynamic.root / "sys/block/ubiblock0_1")
    assert refused(dynamic, content(IMAGE), str(dynamic.node)).code == "slot.booted"
    assert refused(dynamic, content(IMAGE), "partlabel:x", str(block)).code == "slot.booted"
    assert dynamic.told("upd_marker") == "0"


def test_what_is_no_volume_is_refused(dynamic: Kernel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    os.mknod(tmp_path / "ubi0", stat.S_IFCHR | 0o600, os.makedev(250, 0))
    assert not_touched(dynamic, target=slot(dynamic, tmp_path / "file")).code == "slot.ubi-volume"
    assert not_touched(dynamic, target=slot(dynamic, tmp_path / "ubi0")).code == "slot.ubi-volume"
    assert not_touched(dynamic, target=slot(dynamic, tmp_path / "none")).code == "slot.missing"
    assert not_touched(dynamic, target=slot(dynamic, readonly=True)).code == "slot.readonly"


def test_what_the_kernel_does_not_describe_is_refused(dynamic: Kernel) -> None:
    dynamic.say(reserved_ebs="many")
    assert not_touched(dynamic).code == "slot.unreadable"


def test_a_node_without_a_driver_is_an_error_of_its_own(dynamic: Kernel) -> None:
    real = UbiVolume(sysfs=str(dynamic.root / "sys"), proc=str(dynamic.root / "proc"))
    with pytest.raises(SlotError) as caught:
        real.install(slot(dynamic), content(IMAGE), booted=(), start=0, watch=Watcher())
    assert caught.value.code == "slot.open-failed"


def test_the_real_way_to_a_volume_reads_and_asks_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    with open_volume(str(tmp_path / "file"), writable=False) as access:
        assert access.read(2) == b"ab"
        with pytest.raises(OSError) as caught:
            access.start_update(5)
    assert caught.value.errno == errno.ENOTTY  # a file knows no such request, and was asked


def test_numbers_of_requests_have_the_directions_of_their_architecture() -> None:
    def volup(machine: str) -> int:
        return ioctls.request("O", 0, 8, write=True, read=False, machine=machine)

    assert volup("aarch64") == volup("armv7l") == volup("x86_64") == volup("riscv64") == 0x40084F00
    assert volup("mips") == volup("ppc64le") == 0x80084F00
    assert volup("parisc64") == 0x80084F00


def test_it_starts_at_the_start_only(dynamic: Kernel) -> None:
    assert not volume(dynamic).resumable
    with pytest.raises(ValueError):
        volume(dynamic).install(slot(dynamic), content(IMAGE), booted=(), start=LEB, watch=Watcher())
    assert isinstance(handler("ubifs"), UbiVolume)
    with pytest.raises(ValueError):
        handler("nand")


def test_a_path_that_is_gone_is_no_volume() -> None:
    assert ubi_volume.numbers_of("/none") is None
