"""Promises of writing and reading back, on files. Block devices: tests/integration."""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.disks import mounted, slot

from slots.device import Target, open_target
from slots.errors import SlotError
from slots.read_back import read_back
from slots.writer import write_image

BUFFER = 1024 * 1024
NOISE = random.Random(7).randbytes(3 * BUFFER + 5000)


def opened(path: Path, size: int) -> Target:
    with path.open("wb") as file:
        file.truncate(size)
    return open_target(slot(path), booted=(), size=size)


def write(target: Target, *pieces: bytes, size: int | None = None, start: int = 0, every: int = BUFFER) -> list[int]:
    checkpoints: list[int] = []
    total = start + sum(map(len, pieces)) if size is None else size
    write_image(
        target, pieces, total, start=start, progress=nothing, checkpoint=checkpoints.append, every=every, pause=0
    )
    return checkpoints


def nothing(_: int) -> None:
    pass


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.req("S03", "C11")
@settings(deadline=None, max_examples=60)
@given(
    size=st.sampled_from([0, 1, 4095, 4096, 4097, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 3 * BUFFER + 4999]),
    piece=st.sampled_from([700, 4096, 131072, BUFFER, BUFFER + 1, 4 * BUFFER]),
    start=st.integers(0, 768).map(lambda blocks: blocks * 4096),
    room=st.sampled_from([0, 1, 512, 5000]),
)
def test_any_image_in_any_pieces_from_any_block_arrives_and_nothing_else_changes(
    tmp_path_factory: pytest.TempPathFactory, size: int, piece: int, start: int, room: int
) -> None:
    start = min(start, size // 4096 * 4096)
    image, path = NOISE[:size], tmp_path_factory.mktemp("slot") / "slot"
    pieces = [image[offset : offset + piece] for offset in range(start, size, piece)]
    with opened(path, size + room) as target:
        if start:
            path.write_bytes(image[:start] + bytes(size + room - start))
        write(target, *pieces, size=size, start=start)
        assert read_back(target, size, nothing) == sha256(image)
    assert path.read_bytes() == image + bytes(room)
    assert read_back(str(path), size, nothing) == sha256(image)


@pytest.mark.req("S08")
def test_what_a_checkpoint_promises_was_flushed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[object] = []
    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (flush(fd), events.append("flushed")))
    with opened(tmp_path / "slot", len(NOISE)) as target:
        write_image(target, [NOISE], len(NOISE), progress=nothing, checkpoint=events.append, every=2 * BUFFER, pause=0)
    assert events[:2] == ["flushed", 2 * BUFFER]
    assert events[-1] == "flushed"
    assert events.count("flushed") >= 2


@pytest.mark.req("S08")
def test_checkpoints_of_a_resumed_write_lie_on_the_same_borders(tmp_path: Path) -> None:
    with opened(tmp_path / "slot", len(NOISE)) as target:
        assert write(target, NOISE[4096:], start=4096) == [BUFFER, 2 * BUFFER, 3 * BUFFER]


@pytest.mark.req("S08")
def test_a_write_that_stopped_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    def torn() -> Iterator[bytes]:
        yield NOISE[: 2 * BUFFER + 100]
        raise ConnectionError("the network is gone")

    checkpoints: list[int] = []
    with opened(tmp_path / "slot", len(NOISE)) as target:
        with pytest.raises(ConnectionError):
            write_image(
                target, torn(), len(NOISE), progress=nothing, checkpoint=checkpoints.append, every=BUFFER, pause=0
            )
        start = checkpoints[-1]
        assert start == 2 * BUFFER
        write(target, NOISE[start:], start=start)
        assert read_back(target, len(NOISE), nothing) == sha256(NOISE)


@pytest.mark.req("S08", "S09")
def test_a_write_that_breaks_off_gets_a_checkpoint_where_it_did(tmp_path: Path) -> None:
    def torn() -> Iterator[bytes]:
        yield NOISE[:-5000]
        raise ConnectionError("the network is gone")

    checkpoints: list[int] = []
    with opened(tmp_path / "slot", len(NOISE)) as target, pytest.raises(ConnectionError):
        write_image(target, torn(), len(NOISE), progress=nothing, checkpoint=checkpoints.append)
    assert checkpoints == [3 * BUFFER]


def test_checkpoints_are_not_told_more_often_than_wanted(tmp_path: Path) -> None:
    checkpoints: list[int] = []
    with opened(tmp_path / "slot", 3 * BUFFER) as target:
        write_image(
            target, [NOISE[: 3 * BUFFER]], 3 * BUFFER, progress=nothing, checkpoint=checkpoints.append,
            every=BUFFER, pause=1000,
        )  # fmt: skip
    assert checkpoints == [BUFFER, 3 * BUFFER]


def test_progress_is_told_at_most_once_for_each_mebibyte(tmp_path: Path) -> None:
    told: list[int] = []
    with opened(tmp_path / "slot", len(NOISE)) as target:
        pieces = [NOISE[offset : offset + 1000] for offset in range(0, len(NOISE), 1000)]
        write_image(target, pieces, len(NOISE), progress=told.append, checkpoint=nothing)
        assert told[-1] == len(NOISE)
        assert len(told) == len({done // BUFFER for done in told[:-1]}) + 1
        told.clear()
        read_back(target, len(NOISE), told.append)
        assert told == [BUFFER, 2 * BUFFER, 3 * BUFFER, len(NOISE)]


@pytest.mark.req("T16")
def test_a_byte_too_many_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with opened(tmp_path / "slot", 2 * BUFFER) as target, pytest.raises(SlotError) as caught:
        write(target, NOISE[:BUFFER], b"x", size=BUFFER)
    assert caught.value.code == "slot.size-mismatch"
    assert (tmp_path / "slot").read_bytes()[BUFFER:] == bytes(BUFFER)


def test_a_byte_too_few_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "slot", 5000) as target, pytest.raises(SlotError) as caught:
        write(target, NOISE[:4999], size=5000)
    assert caught.value.code == "slot.size-mismatch"


def test_an_image_larger_than_the_slot_is_refused_again(tmp_path: Path) -> None:
    with opened(tmp_path / "slot", 5000) as target, pytest.raises(SlotError) as caught:
        write(target, NOISE[:5001])
    assert caught.value.code == "slot.too-small"


@pytest.mark.parametrize(("start", "every"), [(1, BUFFER), (8192, BUFFER), (-4096, BUFFER), (0, 0), (0, BUFFER + 1)])
def test_a_wrong_call_is_refused(tmp_path: Path, start: int, every: int) -> None:
    with opened(tmp_path / "slot", 5000) as target, pytest.raises(ValueError):
        write(target, b"", size=5000, start=start, every=every)


@pytest.mark.root
def test_a_file_system_without_direct_access_is_written_and_said_so(tmp_path: Path) -> None:
    with mounted("ramfs", tmp_path / "ram", "-t", "ramfs"):
        with opened(tmp_path / "ram" / "slot", len(NOISE)) as target:
            assert not target.direct
            write(target, NOISE)
            assert read_back(target, len(NOISE), nothing) == sha256(NOISE)
        assert read_back(str(tmp_path / "ram" / "slot"), len(NOISE), nothing) == sha256(NOISE)


@pytest.mark.root
@pytest.mark.parametrize("size", [1, 5000, 4096 * 3])
def test_the_last_page_is_not_read_back_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The kernel keeps a page of which only a part is to be dropped, unless the file ends there."""
    dropped: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, __: dropped.append((start, start + length)))
    with (
        mounted("ramfs", tmp_path / "ram", "-t", "ramfs"),
        opened(tmp_path / "ram" / "slot", len(NOISE)) as target,
    ):
        write(target, NOISE[:size])
        assert read_back(target, size, nothing) == sha256(NOISE[:size])
    assert all(border % mmap.PAGESIZE == 0 for piece in dropped for border in piece)
    assert dropped[-1][1] >= size


@pytest.mark.root
def test_a_full_file_system_is_reported_with_the_offset(tmp_path: Path) -> None:
    with (
        mounted("tmpfs", tmp_path / "small", "-t", "tmpfs", "-o", "size=1m"),
        opened(tmp_path / "small" / "slot", len(NOISE)) as target,
        pytest.raises(SlotError) as caught,
    ):
        write(target, NOISE)
    assert caught.value.code == "slot.write-failed"
    assert caught.value.retryable
    assert "No space left" in caught.value.details
    assert f"offset {BUFFER} of {len(NOISE)}" in caught.value.details


def test_a_limit_of_the_process_is_reported_as_a_failed_write(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(tmp_path / "slot", len(NOISE)) as target:
        resource.setrlimit(resource.RLIMIT_FSIZE, (BUFFER, before[1]))
        try:
            with pytest.raises(SlotError) as caught:
                write(target, NOISE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "slot.write-failed"


def test_a_medium_that_ends_early_cannot_be_read_back(tmp_path: Path) -> None:
    (tmp_path / "slot").write_bytes(bytes(4096))
    with pytest.raises(SlotError) as caught:
        read_back(str(tmp_path / "slot"), 4097, nothing)
    assert caught.value.code == "slot.read-failed"
    assert "offset 4096 of 4097" in caught.value.details


def test_a_path_that_is_gone_cannot_be_read_back(tmp_path: Path) -> None:
    with pytest.raises(SlotError) as caught:
        read_back(str(tmp_path / "gone"), 1, nothing)
    assert caught.value.code == "slot.read-failed"
