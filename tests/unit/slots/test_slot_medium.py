"""Promises about what really goes to the medium, on files. Block devices: tests/integration."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from support.disks import slot

from slots.device import open_target
from slots.errors import SlotError
from slots.medium import BUFFER
from slots.read_back import ReadBack
from slots.writer import Statistics, write_image

MIB = 1024 * 1024
OLD = random.Random(1).randbytes(16 * MIB)


def nothing(_: int) -> None:
    pass


def update(path: Path, image: bytes) -> Statistics:
    with open_target(slot(path), booted=(), size=len(image)) as target:
        return write_image(target, [image], len(image), progress=nothing, checkpoint=nothing)


@pytest.fixture
def held(tmp_path: Path) -> Path:
    path = tmp_path / "slot"
    path.write_bytes(OLD)
    return path


def test_what_the_slot_holds_already_is_not_written_again(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda *_: pytest.fail("something was written"))
    assert update(held, OLD) == Statistics(written=0, skipped=len(OLD))


def test_a_changed_block_costs_one_buffer(held: Path) -> None:
    image = bytearray(OLD)
    image[5 * BUFFER] ^= 1
    statistics = update(held, bytes(image))
    assert held.read_bytes() == image
    assert statistics == Statistics(written=BUFFER, skipped=len(OLD) - BUFFER)


def test_where_nothing_is_the_same_hardly_anything_is_looked_at(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: looks.append(offset) or read(fd, buffers, offset))
    update(held, random.Random(2).randbytes(len(OLD)))
    assert [offset // BUFFER for offset in looks] == [0, 1, 3, 7, 15, 31]


@pytest.mark.parametrize("seed", range(8))
def test_any_mixture_of_old_new_and_zero_stretches_arrives(held: Path, seed: int) -> None:
    chance = random.Random(seed)
    image = bytearray()
    while len(image) < len(OLD) - 3 * BUFFER:
        length = chance.choice([1, 4096, BUFFER - 1, BUFFER, 3 * BUFFER])
        kind = chance.choice(["old", "new", "zero"])
        start = len(image)
        image += {"old": OLD[start : start + length], "new": chance.randbytes(length), "zero": bytes(length)}[kind]
    statistics = update(held, bytes(image))
    assert held.read_bytes()[: len(image)] == image
    assert statistics.written + statistics.skipped == len(image)


def test_zeros_are_not_written_where_zeros_are(tmp_path: Path) -> None:
    path = tmp_path / "slot"
    with path.open("wb") as file:
        file.truncate(8 * MIB)
    assert update(path, bytes(8 * MIB)) == Statistics(written=0, skipped=8 * MIB)
    assert path.stat().st_blocks == 0


def test_what_cannot_be_read_is_written(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", failing)
    assert update(held, OLD).written == len(OLD)


@pytest.mark.parametrize("failure", [MemoryError("no room"), SlotError("slot.write-failed", "broken")])
def test_whatever_ends_the_writing_thread_reaches_the_caller(
    held: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def failing(*_: object) -> int:
        raise failure

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(type(failure)) as caught:
        update(held, bytes(reversed(OLD)))
    assert caught.value is failure


def test_whatever_ends_the_reading_thread_reaches_the_caller(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise MemoryError("no room")

    with open_target(slot(held), booted=(), size=len(OLD)) as target:
        monkeypatch.setattr(os, "preadv", failing)
        with ReadBack(target, len(OLD), len(OLD)) as reading, pytest.raises(MemoryError):
            reading.finish(nothing)


@pytest.mark.req("C11")
def test_the_read_back_follows_the_writing_and_never_overtakes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, settled, reads = tmp_path / "slot", [0], []
    path.write_bytes(bytes(len(OLD)))
    read = os.preadv

    def noted(fd: int, buffers: list[memoryview], offset: int) -> int:
        reads.append((offset + len(buffers[0]), settled[-1]))
        return read(fd, buffers, offset)

    with open_target(slot(path), booted=(), size=len(OLD)) as target, ReadBack(target, len(OLD)) as reading:

        def settle(offset: int) -> None:
            settled.append(offset)
            reading.settled(offset)

        monkeypatch.setattr("slots.read_back.os.preadv", noted)
        monkeypatch.setattr("slots.medium.Medium._holds", lambda *_: False)
        write_image(target, [OLD], len(OLD), progress=nothing, checkpoint=nothing, settled=settle, every=MIB, pause=0)
        told: list[int] = []
        reading.finish(told.append)
    assert told[-1] == len(OLD)
    assert settled[1:] == [*range(MIB, len(OLD) + 1, MIB), len(OLD)]
    assert all(end <= limit for end, limit in reads)


def test_a_read_back_that_is_not_wanted_any_more_ends(held: Path) -> None:
    with open_target(slot(held), booted=(), size=len(OLD)) as target, ReadBack(target, len(OLD)):
        pass  # nothing was settled, and leaving returns
