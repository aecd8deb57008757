"""The U-Boot environment in NOR and NAND flash in memory; power cuts are in test_flash_power_cuts.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.flash import Bench, MemoryFlash, Power

from bootloader_env import uboot_format as fmt
from bootloader_env.errors import BootEnvError
from bootloader_env.fwenv_config import Copy
from bootloader_env.mtd import MtdMedium
from bootloader_env.uboot import UbootStore

BLOCK = 0x400


def nor(**options: int) -> MemoryFlash:
    return MemoryFlash(Power(), nand=False, **options)


def nand(**options: int) -> MemoryFlash:
    return MemoryFlash(Power(), nand=True, page=256, **options)


def medium(flash: MemoryFlash, *values: int, name: str = "90:0") -> MtdMedium:
    return MtdMedium(Copy("/dev/mtd0", *values), name, flash.opened)


def code_of(call) -> str:
    with pytest.raises(BootEnvError) as caught:
        call()
    assert caught.value.resolution
    return caught.value.code


@pytest.mark.parametrize("make", [nor, nand])
def test_what_is_written_is_read(make):
    flash = make()
    here = medium(flash, BLOCK, 2 * BLOCK)
    data = bytes(range(256)) * 8
    here.write(data)
    here.write(data[::-1])
    assert here.read() == data[::-1]
    assert (here.span.start, here.span.end) == (BLOCK, 3 * BLOCK)
    assert flash.data[:BLOCK] + flash.data[3 * BLOCK :] == b"\xff" * (6 * BLOCK), "nothing else was touched"


@pytest.mark.parametrize("make", [nor, nand])
def test_what_else_is_in_the_last_block_survives(make):
    flash = make()
    flash.data[BLOCK + 0x100 : 2 * BLOCK] = other = b"other" + b"\xff" * 0x2FB
    here = medium(flash, BLOCK, 0x100)
    here.write(b"\x11" * 0x100)
    assert (here.read(), flash.read(BLOCK + 0x100, 0x300)) == (b"\x11" * 0x100, other)


def test_bad_blocks_are_passed_over_within_the_sectors_of_the_copy_only():
    flash = nand()
    flash.bad = {BLOCK, 3 * BLOCK}
    here = medium(flash, BLOCK, 2 * BLOCK, BLOCK, 4)
    data = bytes(range(256)) * 8
    here.write(data)
    assert here.read() == data
    assert flash.read(2 * BLOCK, BLOCK) + flash.read(4 * BLOCK, BLOCK) == data
    flash.bad.add(2 * BLOCK)
    flash.erased = 0
    assert here.read() == b"", "like U-Boot, which then takes the other copy"
    assert code_of(lambda: here.write(data)) == "bootenv.bad-blocks"
    assert flash.erased == 0, "what is left of the copy was not erased for nothing"


def test_with_too_many_bad_blocks_in_one_copy_the_other_counts(tmp_path):
    here = Bench("nand", str(tmp_path / "lock"))
    here.fill(fmt.encode((b"a=1",), here.size, flags=3), fmt.encode((b"a=2",), here.size, flags=4))
    here.flash.bad |= set(range(0x1800, 0x2C00, BLOCK))
    assert here.store.load() == {"a": "1"}
    assert code_of(lambda: here.store.update(lambda now: {"a": "3"})) == "bootenv.bad-blocks"
    assert here.store.load() == {"a": "1"}


def test_a_block_that_can_no_longer_be_erased_leaves_the_copy_that_counts(tmp_path):
    here = Bench("nand", str(tmp_path / "lock"))
    here.fill(fmt.encode((b"a=1",), here.size, flags=3), fmt.encode((b"a=0",), here.size, flags=2))
    here.flash.worn.add(0x1800)
    assert code_of(lambda: here.store.update(lambda now: {"a": "2"})) == "bootenv.io"
    assert here.store.load() == {"a": "1"}


def test_blocks_are_unlocked_for_the_write_only_and_not_at_all_where_that_is_disabled():
    flash = nor()
    flash.can_lock = True
    flash.locked = {BLOCK}
    medium(flash, BLOCK, 0x100).write(b"\x22" * 0x100)
    medium(flash, BLOCK, 0x100).retire()
    assert flash.locked == {BLOCK}
    with pytest.raises(OSError, match="locked"):
        medium(flash, BLOCK, 0x100, 0, 0, True).write(b"\x33" * 0x100)
    assert flash.read(BLOCK, 0x100) == b"\x22" * 4 + b"\0" + b"\x22" * 0xFB


@pytest.mark.parametrize(
    "values", [(8 * BLOCK, 64), (-BLOCK, 64), (7 * BLOCK, 2 * BLOCK), (1, 64), (0, 64, 0x200), (BLOCK, 64, BLOCK, 8)]
)
def test_a_copy_that_does_not_fit_the_flash_is_refused(values):
    assert code_of(lambda: medium(nor(), *values)) == "bootenv.config-invalid"


def test_sectors_of_several_erase_blocks_are_accepted():
    assert medium(nor(), 0, 64, 2 * BLOCK, 2).span.end == 4 * BLOCK
    assert medium(nor(), 0, 3 * BLOCK, BLOCK, 1).span.end == 3 * BLOCK, (
        "too few sectors mean nothing without bad blocks"
    )


def store(tmp_path, flash: MemoryFlash, *copies: tuple[int, ...]) -> UbootStore:
    made = tuple(Copy(f"/dev/mtd{number}", *values) for number, values in enumerate(copies))
    return UbootStore(made, lock=str(tmp_path / "lock"), open_medium=lambda copy: MtdMedium(copy, "90:0", flash.opened))


def test_two_copies_in_one_erase_block_are_refused(tmp_path):
    for first, second in (((0, 0x200), (0x200, 0x200)), ((0, 0x400, BLOCK, 4), (0xC00, 0x400, BLOCK, 4))):
        assert code_of(store(tmp_path, nor(), first, second).load) == "bootenv.config-invalid"


def test_nor_flash_whose_bytes_cannot_be_changed_later_is_refused(tmp_path):
    for change in ({"bit_writable": False}, {"write_size": 16}):
        flash = nor()
        flash.shape = replace(flash.shape, **change)
        assert code_of(store(tmp_path, flash, (0, 64), (BLOCK, 64)).load) == "bootenv.config-unsupported"


def test_copies_in_nor_flash_and_elsewhere_are_not_mixed(tmp_path):
    flashes = {"/dev/mtd0": nor(), "/dev/mtd1": nand()}
    copies = (Copy("/dev/mtd0", 0, 64), Copy("/dev/mtd1", 0, 64))
    mixed = UbootStore(
        copies,
        lock=str(tmp_path / "lock"),
        open_medium=lambda copy: MtdMedium(copy, copy.device, flashes[copy.device].opened),
    )
    assert code_of(mixed.load) == "bootenv.config-invalid"


@pytest.mark.parametrize(
    ("first", "second", "number"),
    [(1, 0, 0), (0, 1, 1), (1, 1, 0), (0, 0, 0), (255, 1, 0), (1, 255, 1), (255, 0, 0), (0, 255, 1), (255, 255, 0)],
)
def test_in_nor_flash_the_active_copy_counts_and_a_blank_flags_byte_is_newer(first, second, number):
    assert fmt.current((fmt.Image(first, ()), fmt.Image(second, ())), fmt.Scheme.BOOLEAN) == number


@pytest.mark.parametrize("flags", [(7, 6), (255, 254), (1, 1), (0, 0), (2, 9)])
def test_a_write_counts_whatever_flags_were_there(tmp_path, flags):
    here = Bench("nor", str(tmp_path / "lock"))
    here.fill(*(fmt.encode((b"a=%d" % number,), here.size, flags=flag) for number, flag in enumerate(flags)))
    for step in range(3):
        here.store.update(lambda now, step=step: {"step": str(step)})
        assert here.store.load()["step"] == str(step)
    assert sorted(raw[4] for raw in here.raw()) == [0, 1]


def test_a_single_copy_in_nor_flash_has_no_flags(tmp_path):
    flash = nor()
    flash.shape = replace(flash.shape, bit_writable=False)
    medium(flash, 0, 64).write(fmt.encode((b"a=1",), 64, flags=None))
    single = UbootStore(
        (Copy("/dev/mtd0", 0, 64),),
        lock=str(tmp_path / "lock"),
        allow_single=True,
        open_medium=lambda copy: MtdMedium(copy, "90:0", flash.opened),
    )
    single.update(lambda now: {"b": "2"})
    assert single.load() == {"a": "1", "b": "2"}
