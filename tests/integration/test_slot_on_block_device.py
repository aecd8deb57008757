"""Promises of the slots on real block devices: loop devices with a GPT."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import disk, loop, mounted, run, slot

from slots.detect import booted_slot
from slots.device import capacity, open_target, resolve
from slots.errors import SlotError
from slots.model import Slot
from slots.read_back import read_back
from slots.writer import write_image

MIB = 1024 * 1024
pytestmark = pytest.mark.root


@pytest.fixture
def label(tmp_path: Path) -> str:
    return f"t{os.getpid()}-{abs(hash(str(tmp_path))) % 10**8}"


@pytest.fixture
def nodes(tmp_path: Path, label: str) -> Iterator[dict[str, str]]:
    with disk(tmp_path / "disk.img", [f"{label}-a", f"{label}-b"]) as found:
        yield {"disk": found[""], "a": found[f"{label}-a"], "b": found[f"{label}-b"]}


def refusal(target: Slot, *booted: str, size: int = 1) -> SlotError:
    with pytest.raises(SlotError) as caught:
        open_target(target, booted=booted, size=size)
    return caught.value


def nothing(_: int) -> None:
    pass


def test_a_partition_is_found_by_its_label_in_the_udev_database(nodes: dict[str, str], label: str) -> None:
    assert resolve(f"partlabel:{label}-b") == nodes["b"]


def test_a_partition_is_found_by_its_uuid(nodes: dict[str, str]) -> None:
    uuid = run("sfdisk", "--part-uuid", nodes["disk"], "2")
    assert resolve(f"partuuid:{uuid.upper()}") == nodes["b"]


@pytest.mark.req("T05")
def test_a_label_on_two_disks_is_refused(nodes: dict[str, str], label: str, tmp_path: Path) -> None:
    with disk(tmp_path / "stick.img", [f"{label}-b"], mib=1), pytest.raises(SlotError) as caught:
        resolve(f"partlabel:{label}-b")
    assert caught.value.code == "slot.device-ambiguous"
    assert nodes["b"] in caught.value.details


def test_the_capacity_is_that_of_the_partition(nodes: dict[str, str]) -> None:
    assert capacity(nodes["b"]) == 4 * MIB


@pytest.mark.parametrize("form", ["path", "label", "uuid"])
def test_the_booted_slot_is_found_by_root_device(nodes: dict[str, str], label: str, form: str) -> None:
    given = {
        "path": nodes["b"],
        "label": f"PARTLABEL={label}-b",
        "uuid": "PARTUUID=" + run("sfdisk", "--part-uuid", nodes["disk"], "2"),
    }
    slots = [
        Slot(f"rootfs.{n}", "rootfs", n, f"partlabel:{label}-{x}", "raw", bootname=x.upper())
        for n, x in enumerate("ab")
    ]
    assert booted_slot(f"quiet root={given[form]} rw", slots, resolve).bootname == "B"


@pytest.mark.req("T05", "S30")
@pytest.mark.parametrize("running", ["b", "disk"])
def test_a_device_of_the_running_group_is_refused(nodes: dict[str, str], label: str, running: str) -> None:
    assert refusal(slot(f"partlabel:{label}-b"), nodes["a"], nodes[running]).code == "slot.booted"


@pytest.mark.req("T05", "S30")
def test_another_name_of_the_running_device_is_refused(nodes: dict[str, str], tmp_path: Path) -> None:
    status = os.stat(nodes["b"])
    os.mknod(tmp_path / "alias", status.st_mode, status.st_rdev)
    assert refusal(slot(tmp_path / "alias"), nodes["b"]).code == "slot.booted"


@pytest.mark.req("T05")
@pytest.mark.parametrize("target", ["b", "disk"])
def test_a_mounted_device_and_the_disk_around_it_are_refused(
    nodes: dict[str, str], tmp_path: Path, target: str
) -> None:
    run("mkfs.ext4", "-q", "-F", nodes["b"])
    with mounted(nodes["b"], tmp_path / "mnt"):
        error = refusal(slot(nodes[target]))
    assert error.code == "slot.mounted"
    assert str(tmp_path / "mnt") in error.details


@pytest.mark.req("T05")
def test_a_file_behind_a_mounted_loop_device_is_refused(nodes: dict[str, str], tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", "-F", nodes["b"])
    with mounted(nodes["b"], tmp_path / "mnt"):
        assert refusal(slot(tmp_path / "disk.img")).code == "slot.mounted"


@pytest.mark.req("T05")
def test_swap_space_is_refused(nodes: dict[str, str]) -> None:
    run("mkswap", "-q", nodes["b"])
    run("swapon", nodes["b"])
    try:
        error = refusal(slot(nodes["b"]), nodes["a"])
    finally:
        run("swapoff", nodes["b"])
    assert error.code == "slot.mounted"
    assert "swap" in error.details


@pytest.mark.req("T05")
def test_a_device_that_another_holds_exclusively_is_refused(nodes: dict[str, str]) -> None:
    with open_target(slot(nodes["b"]), booted=[nodes["a"]], size=1):
        assert refusal(slot(nodes["b"]), nodes["a"]).code == "slot.busy"


@pytest.mark.req("T05")
def test_a_device_becoming_mounted_meanwhile_is_refused_by_the_kernel(
    nodes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("mkfs.ext4", "-q", "-F", nodes["b"])
    monkeypatch.setattr("slots.device.in_use", lambda identity: "")  # the look came before the mount
    with mounted(nodes["b"], tmp_path / "mnt"):
        assert refusal(slot(nodes["b"]), nodes["a"]).code == "slot.busy"


def test_a_write_protected_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(MIB))
    with loop(tmp_path / "image", "--read-only") as device:
        assert refusal(slot(device)).code == "slot.readonly"


def test_a_large_image_is_refused_with_both_sizes_and_nothing_written(nodes: dict[str, str]) -> None:
    before = read_back(nodes["b"], 4 * MIB, nothing)
    error = refusal(slot(nodes["b"]), nodes["a"], size=4 * MIB + 1)
    assert error.code == "slot.too-small"
    assert str(4 * MIB + 1) in error.details
    assert str(4 * MIB) in error.details
    assert read_back(nodes["b"], 4 * MIB, nothing) == before


@pytest.mark.req("S03", "C11")
@pytest.mark.parametrize("size", [4 * MIB, 4 * MIB - 1, 2 * MIB + 4096, 100])
def test_an_image_is_written_past_the_cache_and_read_back(nodes: dict[str, str], size: int) -> None:
    image = random.Random(size).randbytes(size)
    with open_target(slot(nodes["b"]), booted=[nodes["a"]], size=size) as target:
        assert target.direct
        assert write_image(target, [image], size, progress=nothing, checkpoint=nothing).written == size
        assert read_back(target, size, nothing) == hashlib.sha256(image).hexdigest()
    assert Path(nodes["b"]).read_bytes()[:size] == image


def test_an_odd_device_is_filled_to_its_last_byte(tmp_path: Path) -> None:
    size = MIB + 1536  # three sectors behind the last whole 4096
    image = random.Random(size).randbytes(size)
    (tmp_path / "image").write_bytes(bytes(size))
    with loop(tmp_path / "image") as device:
        with open_target(slot(device), booted=(), size=size) as target:
            write_image(target, [image], size, progress=nothing, checkpoint=nothing)
            assert read_back(target, size, nothing) == hashlib.sha256(image).hexdigest()
        assert Path(device).read_bytes() == image


@pytest.mark.req("C11")
def test_a_byte_flipped_after_writing_is_seen_by_the_read_back(nodes: dict[str, str]) -> None:
    image = random.Random(1).randbytes(MIB)
    with open_target(slot(nodes["b"]), booted=[nodes["a"]], size=MIB) as target:
        write_image(target, [image], MIB, progress=nothing, checkpoint=nothing)
        with Path(nodes["b"]).open("r+b", buffering=0) as device:
            device.seek(MIB // 2)
            device.write(bytes([image[MIB // 2] ^ 1]))
        assert read_back(target, MIB, nothing) != hashlib.sha256(image).hexdigest()


@pytest.mark.req("C11")
def test_a_medium_that_fails_is_reported_with_the_offset(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path / "small", "-t", "tmpfs", "-o", "size=2m"):
        backing = tmp_path / "small" / "image"
        with backing.open("wb") as file:
            file.truncate(8 * MIB)
        with loop(backing) as device, open_target(slot(device), booted=(), size=8 * MIB) as target:
            checkpoints: list[int] = []
            with pytest.raises(SlotError) as caught:
                write_image(
                    target,
                    [b"x" * 8 * MIB],
                    8 * MIB,
                    progress=nothing,
                    checkpoint=checkpoints.append,
                    every=MIB,
                    pause=0,
                )
    assert caught.value.code == "slot.write-failed"
    assert caught.value.retryable
    assert f"offset {checkpoints[-1]} of" in caught.value.details


def test_zeros_and_known_blocks_cost_a_block_device_no_writes(tmp_path: Path) -> None:
    image = bytes(2 * MIB) + random.Random(3).randbytes(2 * MIB) + bytes(4 * MIB)
    backing = tmp_path / "image"
    backing.write_bytes(b"x" * len(image))
    with loop(backing) as device:
        for expected in (len(image), 0):
            with open_target(slot(device), booted=(), size=len(image)) as target:
                before = _sectors_written(device)
                statistics = write_image(target, [image], len(image), progress=nothing, checkpoint=nothing)
            assert (statistics.written, statistics.skipped) == (expected, len(image) - expected)
            if not expected:
                assert _sectors_written(device) == before
        assert Path(device).read_bytes() == image


def _sectors_written(device: str) -> int:
    return int(Path("/sys/class/block", Path(device).name, "stat").read_text().split()[6])
