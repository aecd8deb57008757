"""Slots that are regular files: what is written, what is refused, and what is left alone."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slots.device import capacity, open_target, resolve
from slots.errors import SlotError
from slots.model import Slot
from slots.read_back import read_back
from slots.writer import write_image

MIB = 1 << 20
OLD = b"\xa5"  # what the slot held before


def slot_file(folder: Path, size: int) -> Path:
    path = folder / "slot"
    path.write_bytes(OLD * size)
    return path


def slot(path: Path, *, readonly: bool = False) -> Slot:
    return Slot("rootfs.1", "rootfs", 1, str(path), "raw", bootname="B", readonly=readonly)


def cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        step = next(sizes)
        yield data[position : position + step]
        position += step


def put(path: Path, data: bytes, start: int = 0, seed: int = 0, size: int | None = None, every: int = 8 * MIB):
    """Writes ``data`` from ``start`` on; returns the progress and the checkpoints."""
    chooser = random.Random(seed)
    steps = iter(lambda: chooser.choice((1, 511, 4096, 70_000, 131072, 3 * MIB)), 0)
    progress: list[int] = []
    checkpoints: list[int] = []
    size = len(data) if size is None else size
    with open_target(slot(path), booted=(), size=size) as target:
        write_image(
            target,
            cut(data[start:], steps),
            size,
            start=start,
            progress=progress.append,
            checkpoint=checkpoints.append,
            every=every,
            pause=0,
        )
        assert read_back(target, size, lambda done: None) == hashlib.sha256(data).hexdigest()
    assert read_back(str(path), size, lambda done: None) == hashlib.sha256(data).hexdigest()
    return progress, checkpoints


def code_of(call) -> str:
    with pytest.raises(SlotError) as caught:
        call()
    return caught.value.code


@pytest.mark.req("S03")
@pytest.mark.parametrize("size", [0, 1, 511, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 3 * MIB + 4096, 5 * MIB + 12345])
@pytest.mark.parametrize("room", [0, 1, 4095, 2 * MIB])
def test_an_image_of_any_size_is_written_exactly_and_the_file_keeps_its_size(tmp_path, size, room):
    path = slot_file(tmp_path, size + room)
    data = random.Random(size).randbytes(size)
    put(path, data, seed=size + room)
    after = path.read_bytes()
    assert len(after) == size + room
    assert after[:size] == data


@pytest.mark.parametrize("start", [4096, MIB - 4096, MIB, MIB + 4096, 4 * MIB, 5 * MIB + 8192])
def test_a_write_that_resumes_leaves_everything_before_its_start_alone(tmp_path, start):
    data = random.Random(1).randbytes(5 * MIB + 8192)
    path = slot_file(tmp_path, len(data))
    with path.open("r+b") as file:
        file.write(data[:start])
    before = path.read_bytes()[:start]
    put(path, data, start=start)
    assert path.read_bytes() == data
    assert path.read_bytes()[:start] == before


def test_progress_comes_at_most_once_a_mebibyte_and_checkpoints_at_their_distance(tmp_path):
    data = bytes(9 * MIB + 77)
    progress, checkpoints = put(slot_file(tmp_path, len(data)), data, every=2 * MIB)
    assert progress[-1] == len(data)
    assert len(progress) == len({done // MIB for done in progress[:-1]}) + 1
    assert checkpoints == [2 * MIB, 4 * MIB, 6 * MIB, 8 * MIB]


@pytest.mark.req("S08")
def test_what_a_checkpoint_announces_is_on_the_medium(tmp_path):
    data = random.Random(2).randbytes(5 * MIB)
    path = slot_file(tmp_path, len(data))
    seen = []

    def check(offset: int) -> None:
        seen.append(read_back(str(path), offset, lambda done: None) == hashlib.sha256(data[:offset]).hexdigest())

    with open_target(slot(path), booted=(), size=len(data)) as target:
        write_image(target, [data], len(data), progress=lambda done: None, checkpoint=check, every=MIB, pause=0)
    assert seen == [True] * 5


@pytest.mark.req("T16")
@pytest.mark.parametrize("announced", [2 * MIB + 1, 3 * MIB, 2 * MIB - 1, 4096, 0])
def test_an_image_that_is_not_as_long_as_announced_is_refused(tmp_path, announced):
    path = slot_file(tmp_path, 4 * MIB)
    pieces = [bytes(MIB), bytes(MIB)]
    with open_target(slot(path), booted=(), size=announced) as target:
        nothing = {"progress": lambda done: None, "checkpoint": lambda done: None}
        assert code_of(lambda: write_image(target, pieces, announced, **nothing)) == "slot.size-mismatch"
    rest = -(-announced // 4096) * 4096
    assert path.read_bytes()[rest:] == OLD * (4 * MIB - rest), "nothing is written beyond the announced size"


def test_an_image_that_does_not_fit_is_refused_before_a_byte_is_written(tmp_path):
    path = slot_file(tmp_path, MIB)
    with pytest.raises(SlotError) as caught:
        open_target(slot(path), booted=(), size=MIB + 1)
    assert caught.value.code == "slot.too-small"
    assert str(MIB) in caught.value.details
    assert str(MIB + 1) in caught.value.details
    assert path.read_bytes() == OLD * MIB


@pytest.mark.req("T05")
def test_read_only_missing_and_booted_slots_are_refused(tmp_path):
    path = slot_file(tmp_path, MIB)
    (tmp_path / "alias").symlink_to(path)
    os.link(path, tmp_path / "second-name")
    for device, booted, readonly, code in (
        (path, (), True, "slot.readonly"),
        (tmp_path / "none", (), False, "slot.missing"),
        (path, (str(path),), False, "slot.booted"),
        (path, (str(tmp_path / "alias"),), False, "slot.booted"),
        (tmp_path / "second-name", (str(path),), False, "slot.booted"),
        (tmp_path, (), False, "slot.not-storage"),
        (Path("/dev/null"), (), False, "slot.not-storage"),
    ):
        assert (
            code_of(lambda d=device, b=booted, r=readonly: open_target(slot(d, readonly=r), booted=b, size=1)) == code
        )
    assert path.read_bytes() == OLD * MIB


def test_a_slot_without_an_absolute_path_is_refused():
    for device in ("slot", "", "../slot", "/dev/\0x"):
        assert code_of(lambda device=device: resolve(device)) == "slot.missing"


def test_the_capacity_of_a_file_is_its_size(tmp_path):
    assert capacity(str(slot_file(tmp_path, 12345))) == 12345


@pytest.mark.root
def test_a_full_file_system_is_reported_with_the_offset(tmp_path):
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(where)], check=True)
    try:
        path = where / "slot"
        with path.open("wb") as file:
            file.truncate(6 * MIB)  # a hole: room is taken when it is written
        nothing = {"progress": lambda done: None, "checkpoint": lambda done: None}
        with open_target(slot(path), booted=(), size=6 * MIB) as target, pytest.raises(SlotError) as caught:
            write_image(target, (b"x" * MIB for _ in range(6)), 6 * MIB, **nothing)
        assert caught.value.code == "slot.write-failed"
        assert caught.value.retryable
        assert str(3 * MIB) in caught.value.details
    finally:
        subprocess.run(["umount", str(where)], check=True)


@pytest.mark.req("S08")
def test_whatever_the_medium_lost_is_seen_by_the_read_back(tmp_path):
    data = random.Random(4).randbytes(2 * MIB + 5)
    path = slot_file(tmp_path, len(data))
    put(path, data)
    for offset in (0, MIB, len(data) - 1):
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(bytes([data[offset] ^ 1]))
        assert read_back(str(path), len(data), lambda done: None) != hashlib.sha256(data).hexdigest()
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(bytes([data[offset]]))
    assert read_back(str(path), len(data), lambda done: None) == hashlib.sha256(data).hexdigest()
