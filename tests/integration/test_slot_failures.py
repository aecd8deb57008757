"""What goes wrong with real devices has a stable code, and is told with the place where it happened."""

from __future__ import annotations

import hashlib
import os
import random
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import disk, loop, mounted, run
from support.faults import failing
from support.filesystems import sized
from support.handling import MIB, Heard, archive, content_of, entry, install, slot_on

from slots.errors import SlotError
from slots.handlers.port import Content
from slots.handlers.preflight import preflight
from slots.model import Slot

pytestmark = pytest.mark.root
SIZE = 12 * MIB
IMAGE = random.Random(3).randbytes(10 * MIB)
TAR = archive((entry("large"), IMAGE[: 8 * MIB]))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    with loop(sized(tmp_path / "disk", SIZE)) as node:
        yield node


def failure(slot: Slot, content: Content, *booted: str, heard: Heard | None = None) -> SlotError:
    with pytest.raises(SlotError) as caught:
        install(slot, content, booted=booted, heard=heard)
    return caught.value


def refusal(slot: Slot, kind: str = "raw", size: int = 1, *booted: str) -> SlotError:
    """The same refusal by the preflight and by the installation, which comes later."""
    with pytest.raises(SlotError) as caught:
        preflight(slot, kind, size, name=f"a.{kind}", booted=booted)
    again = failure(slot, content_of(bytes(size), kind), *booted)
    assert again.code == caught.value.code
    return caught.value


@pytest.mark.parametrize(("slot_type", "kind"), [("raw", "raw"), ("ext4", "ext4"), ("ext4", "tar")])
class TestBeforeAnythingIsTouched:
    """Refusals of the preflight, and once more of the installation."""

    def test_an_image_that_is_too_large(self, slot_type: str, kind: str, device: str) -> None:
        before = Path(device).read_bytes()
        error = refusal(slot_on(device, slot_type), kind, SIZE + 1)
        assert error.code == "slot.too-small"
        assert f"{SIZE + 1} bytes, the slot {SIZE}" in error.details
        assert Path(device).read_bytes() == before

    def test_a_device_that_is_missing(self, slot_type: str, kind: str, tmp_path: Path) -> None:
        assert refusal(slot_on(tmp_path / "none", slot_type), kind).code == "slot.missing"

    def test_a_label_that_no_partition_has(self, slot_type: str, kind: str, tmp_path: Path) -> None:
        with disk(tmp_path / "labelled", [f"t{os.getpid()}-one"], mib=1):
            error = refusal(slot_on(f"partlabel:t{os.getpid()}-two", slot_type), kind)
        assert error.code == "slot.missing"
        assert f"t{os.getpid()}-two" in error.details

    def test_a_target_that_is_mounted(self, slot_type: str, kind: str, device: str, tmp_path: Path) -> None:
        run("mkfs.ext4", "-q", "-F", device)
        with mounted(device, tmp_path / "mnt", "-o", "ro"):
            before = Path(device).read_bytes()
            error = refusal(slot_on(device, slot_type), kind)
            assert Path(device).read_bytes() == before
        assert error.code == "slot.mounted"
        assert str(tmp_path / "mnt") in error.details

    def test_the_running_system(self, slot_type: str, kind: str, device: str) -> None:
        assert refusal(slot_on(device, slot_type), kind, 1, device).code == "slot.booted"

    def test_a_slot_that_is_read_only(self, slot_type: str, kind: str, device: str) -> None:
        assert refusal(slot_on(device, slot_type, readonly=True), kind).code == "slot.readonly"


@pytest.mark.req("C11")
@pytest.mark.parametrize("offset", [0, 5 * MIB + 512, 10 * MIB - 4096])
def test_a_medium_that_cannot_be_written_at_some_place(offset: int, tmp_path: Path) -> None:
    heard = Heard()
    with failing(tmp_path, SIZE, offset=offset) as bad:
        error = failure(slot_on(bad), content_of(IMAGE, "raw"), heard=heard)
    assert (error.code, error.retryable) == ("slot.write-failed", True)
    told = re.search(r"offset ([0-9]+) of 10485760: Input/output error", error.details)
    assert told
    assert max(heard.written, default=0) <= int(told[1]) <= offset


@pytest.mark.req("C11")
def test_a_medium_that_cannot_be_read_back_at_some_place(tmp_path: Path) -> None:
    with failing(tmp_path, SIZE, offset=5 * MIB, io="read") as bad:
        error = failure(slot_on(bad), content_of(IMAGE, "raw"), heard=(heard := Heard()))
    assert (error.code, error.retryable) == ("slot.read-failed", True)
    told = re.search(r"offset ([0-9]+) of 10485760: Input/output error", error.details)
    assert told
    assert max(heard.read, default=0) <= int(told[1]) <= 5 * MIB


@pytest.mark.req("C11")
def test_a_medium_that_fails_under_an_archive(tmp_path: Path) -> None:
    """The file is larger than what mkfs leaves out, so that it lies on the bad place."""
    with failing(tmp_path, SIZE, offset=7 * MIB) as bad:
        error = failure(slot_on(bad, "ext4"), content_of(TAR, "tar"))
    assert (error.code, error.retryable) == ("slot.write-failed", True)


@pytest.mark.req("C11")
def test_a_medium_on_which_no_file_system_can_be_made(tmp_path: Path) -> None:
    with failing(tmp_path, SIZE, offset=1024) as bad:
        error = failure(slot_on(bad, "ext4"), content_of(TAR, "tar"))
    assert (error.code, error.retryable) == ("slot.program-failed", True)
    assert "mkfs.ext4" in error.details


def test_a_file_that_takes_only_a_part_of_a_write(tmp_path: Path) -> None:
    """Linux writes up to the limit, and refuses what comes then: setrlimit(2), RLIMIT_FSIZE."""
    slot = sized(tmp_path / "slot", SIZE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB + 8192, limits[1]))
    try:
        error = failure(slot_on(slot), content_of(IMAGE, "raw"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.code == "slot.write-failed"
    assert f"offset {2 * MIB + 8192} of" in error.details
    assert slot.read_bytes()[: 2 * MIB + 8192] == IMAGE[: 2 * MIB + 8192]


def test_a_file_system_under_the_slot_that_is_full(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path / "small", "-t", "tmpfs", "-o", "size=2m"):
        error = failure(slot_on(sized(tmp_path / "small" / "slot", SIZE)), content_of(IMAGE, "raw"))
    assert (error.code, error.retryable) == ("slot.write-failed", True)
    assert "No space left on device" in error.details


def test_an_archive_whose_content_does_not_fit(device: str) -> None:
    """As an archive it would: it is compressed."""
    data = archive((entry("zeros"), bytes(SIZE - MIB)), mode="w:gz")
    error = failure(slot_on(device, "ext4"), content_of(data, "tar"))
    assert (error.code, error.retryable) == ("slot.full", False)
    assert "zeros" in error.details


@pytest.mark.req("C11")
def test_an_image_that_the_medium_changes(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit flips as soon as it is written."""
    write = os.pwrite

    def flipping(fd: int, data: memoryview, offset: int) -> int:
        count = write(fd, data, offset)
        if offset <= MIB < offset + count:
            with Path(device).open("r+b", buffering=0) as node:
                node.seek(MIB)
                node.write(bytes([IMAGE[MIB] ^ 1]))
                os.fsync(node.fileno())
        return count

    monkeypatch.setattr("slots.medium.os.pwrite", flipping)
    error = failure(slot_on(device), content_of(IMAGE, "raw"))
    assert (error.code, error.retryable) == ("slot.read-back", True)


@pytest.mark.parametrize("size", [len(IMAGE) - 1, len(IMAGE) + 1])
def test_an_image_of_another_size_than_announced(size: int, device: str) -> None:
    announced = Content("a.img", "raw", size, hashlib.sha256(IMAGE).hexdigest(), lambda start: [IMAGE[start:]])
    assert failure(slot_on(device), announced).code == "slot.size-mismatch"


@pytest.mark.parametrize("kind", ["raw", "tar"])
def test_after_a_failure_the_slot_is_free_for_the_next_try(kind: str, device: str) -> None:
    data, slot = {"raw": IMAGE, "tar": TAR}[kind], slot_on(device, "ext4")
    failure(slot, content_of(data, kind, sha256="00" * 32))
    outcome = install(slot, content_of(data, kind))
    assert outcome.written + outcome.skipped > 0


@pytest.mark.req("S08")
@pytest.mark.parametrize("kind", ["raw", "tar"])
def test_whoever_was_killed_in_the_middle_leaves_a_slot_that_can_be_written_from_its_start(
    kind: str, device: str, tmp_path: Path
) -> None:
    image = {"raw": IMAGE, "tar": TAR}[kind]
    (tmp_path / "image").write_bytes(image)
    code = (
        "import os, signal, sys; from pathlib import Path; sys.path[:0] = ['tests']\n"
        "from support.handling import install, slot_on; from slots.handlers.port import Content\n"
        "data = Path(sys.argv[3]).read_bytes()\n"
        "def pieces(start):\n"
        "    yield data[: len(data) // 2]\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "install(slot_on(sys.argv[1], 'ext4'), Content('a', sys.argv[2], len(data), '00' * 32, pieces))\n"
    )
    argv = [sys.executable, "-c", code, device, kind, str(tmp_path / "image")]
    assert subprocess.run(argv, cwd=Path(__file__).parents[2], check=False).returncode == -9
    outcome = install(slot_on(device, "ext4"), content_of(image, kind))
    assert outcome.digest == hashlib.sha256(image).hexdigest()


def test_an_image_that_a_program_of_the_bundle_installs_needs_only_a_slot_with_room(device: str) -> None:
    preflight(slot_on(device), "", SIZE, name="a.bin", booted=(), own=True)
    for slot, size, code in (
        (slot_on(device), SIZE + 1, "slot.too-small"),
        (slot_on(device, readonly=True), 1, "slot.readonly"),
        (slot_on(f"{device}-none"), 1, "slot.missing"),
    ):
        with pytest.raises(SlotError) as caught:
            preflight(slot, "", size, name="a.bin", booted=(), own=True)
        assert caught.value.code == code
    with pytest.raises(SlotError) as running:
        preflight(slot_on(device), "", 1, name="a.bin", booted=(device,), own=True)
    assert running.value.code == "slot.booted"
