"""Promises of boot-raw-fallback: whatever the power does, the ROM code finds a whole bootloader. Disks: tests/integration."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.media import MemoryDisk, Watcher, after_cuts, content

from slots.errors import SlotError
from slots.handlers.fallback_copy import FallbackCopy, handler
from slots.model import Slot

HALF = 64 * 1024
START = 32 * 1024
OLD = b"old header" + random.Random(1).randbytes(40_000)
NEW = b"new header" + random.Random(2).randbytes(50_001)


def slot(start: int = START, size: int = 2 * HALF, *, readonly: bool = False) -> Slot:
    return Slot(
        "bootloader.0", "bootloader", 0, "/dev/disk", "boot-raw-fallback", region_start=start, region_size=size,
        readonly=readonly,
    )  # fmt: skip


def disk(first: bytes = OLD, second: bytes = OLD, sector: int = 512) -> MemoryDisk:
    data = bytearray(b"\xa5" * (START + 2 * HALF + START))
    data[START : START + len(first)] = first
    data[START + HALF : START + HALF + len(second)] = second
    return MemoryDisk(data, sector)


def install(medium: MemoryDisk, image: bytes = NEW, where: Slot | None = None) -> Watcher:
    watch = Watcher()
    FallbackCopy(medium.opened).install(where or slot(), content(image), booted=(), start=0, watch=watch)
    return watch


def chosen(data: bytes) -> bytes:
    """What the ROM code does: the first copy with a header is what runs."""
    for copy in (START, START + HALF):
        header = data[copy : copy + 512]
        if header.count(0x00) + header.count(0xFF) < 512:
            return bytes(data[copy : copy + HALF])
    return b""


def runs(data: bytes) -> str:
    """Which bootloader the ROM code finds, if it finds a whole one."""
    found = chosen(data)
    return "old" if found.startswith(OLD) else "new" if found.startswith(NEW) else "none"


BLANK = bytes(512)
STATES = {"both": (OLD, OLD), "first-blank": (BLANK + OLD[512:], OLD), "first-erased": (b"\xff" * 512, OLD),
          "second-blank": (OLD, BLANK), "second-other": (OLD, b"something else")}  # fmt: skip


def refusal(where: Slot, image_size: int = 1, medium: MemoryDisk | None = None) -> str:
    medium = medium or disk()
    with pytest.raises(SlotError) as caught:
        FallbackCopy(medium.opened).preflight(where, "raw", image_size)
    assert medium.record == []
    return caught.value.code


def test_both_copies_hold_the_image_afterwards_and_nothing_around_has_changed() -> None:
    medium = disk()
    watch = install(medium)
    assert medium.data[START : START + len(NEW)] == NEW
    assert medium.data[START + HALF : START + HALF + len(NEW)] == NEW
    assert set(medium.data[:START]) == set(medium.data[START + 2 * HALF :]) == {0xA5}
    assert watch.written == sorted(watch.written)
    assert watch.written[-1] == len(NEW)


@pytest.mark.req("S08", "C11")
@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("state", STATES)
def test_a_cut_at_any_write_leaves_a_whole_bootloader_and_the_next_try_succeeds(state: str, sector: int) -> None:
    medium = disk(*STATES[state], sector)
    before = bytes(medium.data)
    assert runs(before) == "old"
    install(medium)
    seen = {}
    for data in after_cuts(before, medium.record):
        seen.setdefault(data, runs(data))
    assert set(seen.values()) == {"old", "new"}
    for data in random.Random(3).sample(sorted(seen), min(len(seen), 40)):
        again = MemoryDisk(bytearray(data), sector)
        install(again)
        assert {runs(later) for later in after_cuts(data, again.record)} <= {"old", "new"}
        assert again.data[START : START + len(NEW)] == again.data[START + HALF : START + HALF + len(NEW)] == NEW


@pytest.mark.req("S08")
@settings(deadline=None, max_examples=40)
@given(size=st.integers(1, HALF), sector=st.sampled_from([512, 4096]), seed=st.integers(0, 2**32))
def test_images_of_any_size_survive_a_cut_at_any_write(size: int, sector: int, seed: int) -> None:
    image = b"\x42" + random.Random(seed).randbytes(size - 1)
    medium = disk(sector=sector)
    before = bytes(medium.data)
    install(medium, image)
    for data in after_cuts(before, medium.record, seed):
        assert chosen(data).startswith((OLD, image))
    assert medium.data[START : START + size] == medium.data[START + HALF : START + HALF + size] == image


def test_the_copy_that_boots_is_the_last_one_to_be_touched() -> None:
    def first_touched(first: bytes) -> int:
        medium = disk(first)
        install(medium)
        return medium.writes[0][0]

    assert first_touched(OLD) == START + HALF
    assert first_touched(BLANK) == START


def test_copies_that_hold_the_image_are_not_written_again() -> None:
    medium = disk(NEW, NEW)
    handled = FallbackCopy(medium.opened).install(slot(), content(NEW), booted=(), start=0, watch=Watcher())
    assert medium.record == []
    assert (handled.written, handled.skipped) == (0, 2 * len(NEW))


def test_the_second_copy_comes_from_the_first_one_not_from_the_server_again() -> None:
    asked = []
    image = content(NEW)
    counted = type(image)(image.name, image.kind, image.size, image.sha256, lambda at: (asked.append(at), NEW)[1:])
    medium = disk()
    FallbackCopy(medium.opened).install(slot(), counted, booted=(), start=0, watch=Watcher())
    assert asked == [0]
    assert medium.data[START : START + len(NEW)] == NEW


@pytest.mark.req("C11")
@pytest.mark.parametrize("place", [START + HALF + 3, START + HALF + 30_000], ids=["header", "body"])
def test_a_medium_that_keeps_something_else_ends_the_update_with_the_old_bootloader_untouched(place: int) -> None:
    medium = disk()
    medium.lies_at = place
    with pytest.raises(SlotError) as caught:
        install(medium)
    assert caught.value.code == "slot.read-back"
    assert runs(medium.data) == "old"


@pytest.mark.parametrize(("number", "runs_then"), list(enumerate(["old", "old", "old", "old", "new", "new"])))
def test_a_write_that_fails_ends_the_update_with_a_whole_bootloader(number: int, runs_then: str) -> None:
    medium = disk()
    medium.fails_at = number
    with pytest.raises(SlotError) as caught:
        install(medium)
    assert caught.value.code == "slot.write-failed"
    assert runs(medium.data) == runs_then


@pytest.mark.parametrize("image", [b"", bytes(2000), b"\xff" * 512 + b"x" * 2000], ids=["empty", "zeros", "erased"])
def test_an_image_without_a_header_is_refused_before_anything_is_written(image: bytes) -> None:
    medium = disk()
    with pytest.raises(SlotError) as caught:
        install(medium, image)
    assert caught.value.code == "slot.header-blank"
    assert medium.record == []


@pytest.mark.parametrize("told", [len(NEW) - 1, len(NEW) + 1])
def test_an_image_of_another_size_than_announced_leaves_the_old_bootloader(told: int) -> None:
    medium = disk()
    with pytest.raises(SlotError) as caught:
        FallbackCopy(medium.opened).install(slot(), content(NEW, told=told), booted=(), start=0, watch=Watcher())
    assert caught.value.code == "slot.size-mismatch"
    assert runs(medium.data) == "old"


@pytest.mark.req("S03")
def test_an_image_larger_than_half_of_the_region_is_refused_at_preflight() -> None:
    assert refusal(slot(), HALF + 1) == "slot.too-small"


@pytest.mark.parametrize(
    ("start", "size"), [(START + 1, 2 * HALF), (START, 2 * HALF + 512), (START, 0), (START, 1024 * 1024)]
)
def test_a_region_that_does_not_fit_the_disk_is_refused_at_preflight(start: int, size: int) -> None:
    assert refusal(slot(start, size)) == "slot.region-invalid"


def test_larger_sectors_need_larger_multiples() -> None:
    assert refusal(slot(START + 512), medium=disk(sector=4096)) == "slot.region-invalid"


def test_only_its_own_type_is_taken() -> None:
    assert isinstance(handler("boot-raw-fallback"), FallbackCopy)
    with pytest.raises(ValueError):
        handler("boot-emmc")


def test_a_bootloader_is_written_from_its_start_only() -> None:
    assert not FallbackCopy().resumable
    with pytest.raises(ValueError):
        FallbackCopy(disk().opened).install(slot(), content(NEW), booted=(), start=4096, watch=Watcher())
