"""Our MBR and GPT against sfdisk (libfdisk) and sgdisk: what they write we read, what we write they read."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.media import MemoryDisk, Watcher, after_cuts, content
from support.partition_tables import DISK, HALF, MIB, by_sfdisk, gpt_boots, mbr_boots, slot, table, tool

from slots import gpt, mbr
from slots.errors import SlotError
from slots.handlers.boot_tables import read_gpt, read_mbr
from slots.handlers.halves import Span
from slots.handlers.partition_switch import PartitionSwitch

SECTORS = 16 * MIB // 512
GAP = 2048  # sectors in front of the first partition


def layouts(seed: int, most: int) -> list[tuple[int, int]]:
    """First sector and length of some partitions, in order and apart."""
    chance = random.Random(seed)
    count = chance.randrange(1, most + 1)
    borders = sorted(chance.sample(range(GAP, SECTORS - 2048), 2 * count))
    return [(first, last - first) for first, last in zip(borders[::2], borders[1::2], strict=True)]


def made(path: Path, label: str, partitions: list[tuple[int, int]], *more: str) -> bytes:
    with path.open("wb") as file:
        file.truncate(SECTORS * 512)
    lines = [f"label: {label}", *more, *(f"start={first}, size={count}" for first, count in partitions)]
    tool("sfdisk", "--quiet", path, text="\n".join(lines) + "\n")
    return path.read_bytes()


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_an_mbr_of_sfdisk_is_read_and_moved_as_sfdisk_does_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path, layout = tmp_path_factory.mktemp("mbr") / "disk", layouts(seed, 4)
    data = made(path, "dos", layout, "label-id: 0x12345678")
    assert [(part.start, part.count) for part in mbr.parse(data[:512]) if not part.empty] == layout
    chance = random.Random(seed)
    first, count = layout[0]
    start = chance.randrange(GAP, first + count)
    other = made(path, "dos", [(start, first + count - start), *layout[1:]], "label-id: 0x12345678")
    assert mbr.moved(data[:512], 0, start, first + count - start) == other[:512]


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_both_gpts_of_sfdisk_are_read_and_written_back_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path, layout = tmp_path_factory.mktemp("gpt") / "disk", layouts(seed, 12)
    data = made(path, "gpt", layout)
    found = read_gpt(MemoryDisk(bytearray(data)))
    assert found.primary is not None and found.backup is not None
    assert found.primary.describes_the_same(found.backup)
    for one in (found.primary, found.backup):
        assert gpt.header(one) == data[one.lba * 512 : one.lba * 512 + 512]
        assert [(part.first, part.last - part.first + 1) for part in gpt.partitions(one)] == layout
    mirrored = gpt.counterpart(found.primary, found.backup.array_lba)
    assert gpt.header(mirrored) == gpt.header(found.backup)


@pytest.mark.parametrize("entries", [4, 56, 128, 200])
def test_tables_of_sgdisk_with_any_number_of_entries_are_switched(tmp_path: Path, entries: int) -> None:
    path = tmp_path / "disk"
    table("sgdisk", path)
    tool("sgdisk", f"--resize-table={entries}", path)
    medium = MemoryDisk(bytearray(path.read_bytes()))
    switch(medium, "gpt")
    path.write_bytes(medium.data)
    assert "No problems found" in tool("sgdisk", "--verify", path)
    assert gpt_boots(medium.data) == Span(MIB + HALF, HALF)


@pytest.mark.req("S08")
@pytest.mark.parametrize("kind", ["dos", "gpt", "sgdisk"])
def test_after_a_cut_libfdisk_sees_the_place_that_the_firmware_sees(tmp_path: Path, kind: str) -> None:
    path, boots = tmp_path / "disk", mbr_boots if kind == "dos" else gpt_boots
    table(kind, path)
    medium = MemoryDisk(bytearray(path.read_bytes()))
    begin = switch(medium, "mbr" if kind == "dos" else "gpt")
    before = path.read_bytes()
    before = before[: MIB + HALF] + bytes(medium.data[MIB + HALF : MIB + 2 * HALF]) + before[MIB + 2 * HALF :]
    places = set()
    for data in set(after_cuts(before, medium.record[begin:])):
        path.write_bytes(data)
        first = by_sfdisk(path)["partitions"][0]
        place = boots(data)
        assert place == Span(first["start"] * 512, first["size"] * 512)
        places.add(place)
    assert places == {Span(MIB, HALF), Span(MIB + HALF, HALF)}


def switch(medium: MemoryDisk, kind: str) -> int:
    """Installs something and switches; tells where the switch begins in the record."""
    handled = PartitionSwitch(read_mbr if kind == "mbr" else read_gpt, medium.opened)
    handled.install(slot(kind), content(b"bootloader"), booted=(), start=0, watch=Watcher())
    begin = len(medium.record)
    handled.switch(slot(kind))
    return begin


@settings(deadline=None, max_examples=200)
@given(place=st.integers(0, 91), value=st.binary(min_size=1, max_size=8))
def test_a_header_with_any_changed_byte_is_not_taken_for_one(sample: bytes, place: int, value: bytes) -> None:
    header = bytearray(sample[512:1024])
    header[place : place + len(value)] = value
    header = header[:512]
    unchanged = bytes(header) == sample[512:1024] or header[:92] == sample[512:604]
    assert (gpt.array_place(bytes(header), 1) is None) != unchanged


@settings(deadline=None, max_examples=300)
@example(size=92, first=34, last=34, other=DISK // 512 - 1, array=2, count=128, entry=128)
@given(
    size=st.sampled_from([0, 91, 92, 128, 512, 513, 2**32 - 1]),
    first=st.sampled_from([0, 34, 2048, 2**64 - 1]),
    last=st.sampled_from([0, 34, DISK // 512, 2**64 - 1]),
    other=st.sampled_from([0, 1, DISK // 512 - 1, 2**64 - 1]),
    array=st.sampled_from([0, 1, 2, DISK // 512 - 1, DISK // 512, 2**55, 2**64 - 1]),
    count=st.sampled_from([0, 1, 4, 128, 8192, 2**32 - 1]),
    entry=st.sampled_from([0, 1, 127, 128, 256, 384, 4096, 2**31, 2**32 - 1]),
)
def test_no_header_whose_checksums_are_right_ends_in_anything_but_a_verdict(
    sample: bytes, size: int, first: int, last: int, other: int, array: int, count: int, entry: int
) -> None:
    array_crc = zlib.crc32(bytes(count * entry)) if count * entry <= gpt.MAX_ARRAY else 0
    fields = (gpt.SIGNATURE, 0x10000, size, 0, 0, 1, other, first, last, bytes(16), array, count, entry, array_crc)
    block = struct.pack("<8sIIIIQQQQ16sQIII", *fields) + bytes(420)
    block = block[:16] + struct.pack("<I", zlib.crc32(block[:size])) + block[20:]
    medium = MemoryDisk(bytearray(DISK))
    medium.data[:512], medium.data[512:1024] = sample[:512], block
    verdict = "valid"
    try:
        assert read_gpt(medium).backup is None
    except SlotError as error:
        verdict = error.code
    assert verdict in ("valid", "slot.table-damaged")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return made(tmp_path_factory.mktemp("sample") / "disk", "gpt", [(2048, 4096)])
