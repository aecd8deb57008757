"""What a power cut may leave of a drive, and that the mark of a region tells what it holds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torture.medium import SECTOR, Medium, Region, mark_of, torn
from torture.writelog import DISCARD, FLUSH, FUA, Entry

SECTORS = 24
A, B = Region("a", 0, 8 * SECTOR), Region("b", 8 * SECTOR, 8 * SECTOR)


def made(*steps, cached=True):
    """A medium after some steps (first sector, sectors, flags), and the data of all entries as the log holds them."""
    log, entries = b"", []
    for number, (first, count, flags) in enumerate(steps):
        data = b"" if flags & DISCARD else Random(number).randbytes(count * SECTOR)
        entries.append(Entry(number, len(log), first * SECTOR, count * SECTOR, flags))
        log += data
    base = Random("base").randbytes(SECTORS * SECTOR)
    medium = Medium(base, log, [A, B], cached=cached)
    for entry in entries:
        medium.take(entry)
    return medium, base, log


def piece(data, number, count=1):
    return data[number * SECTOR : (number + count) * SECTOR]


def test_only_what_was_flushed_is_there_for_sure():
    medium, base, log = made((0, 1, 0), (0, 0, FLUSH), (1, 1, 0))
    assert medium.nothing().read(0, 2 * SECTOR) == piece(log, 0) + piece(base, 1)
    assert medium.everything().read(0, 2 * SECTOR) == log


def test_a_write_through_the_cache_is_there_without_a_flush():
    medium, base, log = made((0, 1, 0), (1, 1, FUA), (2, 1, 0))
    assert medium.nothing().read(0, 3 * SECTOR) == piece(base, 0) + piece(log, 1) + piece(base, 2)
    for seed in range(50):
        assert medium.some(Random(seed)).read(SECTOR, SECTOR) == piece(log, 1)


def test_a_drive_without_a_cache_loses_the_last_write_at_most():
    medium, base, log = made((0, 1, 0), (1, 2, 0), cached=False)
    assert medium.nothing().read(0, 3 * SECTOR) == piece(log, 0) + piece(base, 1, 2)
    assert medium.some(Random(0)) is None
    medium.settle()
    assert medium.nothing().read(0, 3 * SECTOR) == log


def test_a_later_write_may_be_there_without_an_earlier_one():
    medium, base, log = made((0, 1, 0), (1, 1, 0))
    found = {medium.some(Random(seed)).read(0, 2 * SECTOR) for seed in range(200)}
    assert found >= {log, base[: 2 * SECTOR], piece(log, 0) + piece(base, 1), piece(base, 0) + piece(log, 1)}


def test_the_last_write_may_be_torn_at_each_sector():
    medium, base, log = made((0, 1, 0), (4, 3, 0))
    found = {medium.torn(Random(seed)).read(4 * SECTOR, 3 * SECTOR) for seed in range(300)}
    assert piece(log, 1) + piece(base, 5, 2) in found
    assert piece(log, 1, 2) + piece(base, 6) in found
    assert piece(base, 4, 2) + piece(log, 3) in found
    assert all(medium.torn(Random(seed)).read(0, SECTOR) == piece(log, 0) for seed in range(20))


def test_a_write_of_one_sector_is_never_torn():
    medium, _, _ = made((0, 1, 0))
    assert medium.torn(Random(0)) is None
    assert torn(Entry(0, 0, 0, SECTOR, 0), Random(0)) == []


def test_what_was_discarded_reads_as_zeros():
    medium, _, _ = made((0, 2, 0), (0, 2, DISCARD))
    assert medium.everything().read(0, 2 * SECTOR) == bytes(2 * SECTOR)


def test_parts_of_sectors_are_read():
    medium, base, _ = made((0, 1, 0))
    assert (
        medium.everything().read(SECTOR - 3, 6) == medium.everything().read(0, SECTOR)[-3:] + base[SECTOR : SECTOR + 3]
    )


@pytest.mark.parametrize("kind", ["everything", "nothing", "some", "torn"])
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 6), st.sampled_from([0, 0, 0, FUA, DISCARD]))
        | st.just((0, 0, FLUSH)),
        max_size=12,
    ),
    seed=st.integers(0, 1000),
)
def test_the_mark_of_a_region_is_that_of_its_bytes(kind, steps, seed):
    medium, base, _ = made(*steps)
    view = getattr(medium, kind)(*[Random(seed)] * (kind in ("some", "torn")))
    for region in (A, B) if view is not None else ():
        assert view.marks[region.name] ^ mark_of(base, region.start, region.size) == mark_of(
            view.read(region.start, region.size)
        )


def test_what_differs_from_the_base_image_can_be_put_over_a_copy():
    medium, base, _ = made((0, 2, 0), (0, 0, FLUSH), (5, 3, 0), (1, 1, DISCARD))
    view, copy = medium.everything(), bytearray(base)
    for number, data in view.sectors():
        copy[number * SECTOR : (number + 1) * SECTOR] = data
    assert copy == view.read(0, SECTORS * SECTOR)
