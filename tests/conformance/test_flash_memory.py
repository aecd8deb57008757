"""Promises of nand, nor and jffs2, kept by the installed mtd-utils on simulated memory (support.flash_lab)."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support.flash_lab import BLOCK, MARKED, PAGE, WORN, Lab, lab
from support.media import Watcher, content

from slots import programs
from slots.errors import SlotError
from slots.handlers.flash import Flash, handler, open_chip
from slots.handlers.port import Written
from slots.model import Slot

pytestmark = pytest.mark.root
BLOCKS = 24
IMAGE = random.Random(1).randbytes(150_001)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return lab(tmp_path, monkeypatch)


def slot(node: str | Path, kind: str, *, readonly: bool = False) -> Slot:
    return Slot("firmware.0", "firmware", 0, str(node), kind, readonly=readonly)


def flash(bench: Lab, kind: str) -> Flash:
    return Flash(kind, sysfs=bench.sysfs, proc=bench.proc, opener=bench.open_chip)


def install(bench: Lab, kind: str, node: Path, image: bytes = IMAGE, told: int | None = None) -> Written:
    watch = Watcher()
    target = slot(node, kind)
    flash(bench, kind).preflight(target, "raw", len(image))
    outcome = flash(bench, kind).install(target, content(image, told=told), booted=(), start=0, watch=watch)
    assert watch.written[-1] == watch.read[-1] == len(image)
    return outcome


def refusal(bench: Lab, kind: str, target: Slot, size: int = 1, *booted: str) -> SlotError:
    handled = flash(bench, kind)
    attempt = partial(handled.preflight, target, "raw", size)
    if booted:
        attempt = partial(handled.install, target, content(IMAGE), booted=booted, start=0, watch=Watcher())
    with pytest.raises(SlotError) as caught:
        attempt()
    for number in range(3):
        if Path(bench.root, f"mtd{number}.data").exists():
            assert set(bench.data(number)) == {0x5A}
    return caught.value


def good_blocks(bench: Lab, number: int) -> bytes:
    data, bad = bench.data(number), bench.bad(number)
    return b"".join(data[at * BLOCK : (at + 1) * BLOCK] for at in range(len(data) // BLOCK) if at not in bad)


@pytest.mark.req("C11")
@pytest.mark.parametrize("kind", ["nand", "jffs2"])
@pytest.mark.parametrize("memory", ["nand", "mlc-nand"])
@pytest.mark.parametrize("size", [1, PAGE, BLOCK, 3 * BLOCK + 7, len(IMAGE)])
def test_an_image_lies_in_the_good_blocks_of_nand_and_the_rest_is_erased(
    bench: Lab, kind: str, memory: str, size: int
) -> None:
    node = bench.memory(0, memory, BLOCKS, {0: MARKED, 4: MARKED, 5: MARKED})
    outcome = install(bench, kind, node, IMAGE[:size])
    held = good_blocks(bench, 0)
    assert held[:size] == IMAGE[:size]
    assert set(held[size:]) == {0xFF}
    assert outcome.written == size
    assert bench.bad(0) == [0, 4, 5]


@pytest.mark.req("C11")
@pytest.mark.parametrize("kind", ["nor", "jffs2"])
@pytest.mark.parametrize("memory", ["nor", "dataflash", "ram"])
def test_other_memory_is_erased_and_written_as_it_is(bench: Lab, kind: str, memory: str) -> None:
    node = bench.memory(0, memory, BLOCKS)
    install(bench, kind, node)
    assert bench.data(0) == IMAGE + b"\xff" * (BLOCKS * BLOCK - len(IMAGE))


@pytest.mark.parametrize(("kind", "memory"), [("nand", "nand"), ("nor", "nor")])
def test_an_image_that_the_memory_holds_is_left_alone_if_that_is_said(bench: Lab, kind: str, memory: str) -> None:
    node = bench.memory(0, memory, BLOCKS, {1: MARKED} if kind == "nand" else None)
    install(bench, kind, node)
    before = bench.data(0)
    target = replace(slot(node, kind), install_same=False)
    outcomes = [
        flash(bench, kind).install(target, content(image), booted=(), start=0, watch=Watcher()).skipped
        for image in (IMAGE, IMAGE[::-1])
    ]
    assert outcomes == [len(IMAGE), 0]
    assert bench.data(0) != before


def test_a_block_that_fails_is_marked_bad_and_the_image_goes_on_in_the_next_one(bench: Lab) -> None:
    node = bench.memory(0, "nand", BLOCKS, {2: MARKED, 3: WORN})
    install(bench, "nand", node)
    assert bench.bad(0) == [2, 3]
    assert good_blocks(bench, 0).startswith(IMAGE)


@pytest.mark.req("S03")
def test_bad_blocks_count_when_the_size_is_judged(bench: Lab) -> None:
    node = bench.memory(0, "nand", 4, {1: MARKED})
    flash(bench, "nand").preflight(slot(node, "nand"), "raw", 3 * BLOCK)
    assert refusal(bench, "nand", slot(node, "nand"), 3 * BLOCK + 1).code == "slot.too-small"


def test_running_out_of_good_blocks_on_the_way_is_an_error(bench: Lab) -> None:
    node = bench.memory(0, "nand", 4, {1: WORN})
    with pytest.raises(SlotError) as caught:
        install(bench, "nand", node, random.Random(2).randbytes(4 * BLOCK))
    assert caught.value.code == "slot.read-failed"  # nandwrite says nothing and ends with success


@pytest.mark.req("C11")
def test_worn_memory_without_spare_blocks_is_an_error(bench: Lab) -> None:
    node = bench.memory(0, "nor", BLOCKS, {2: WORN})
    with pytest.raises(SlotError) as caught:
        install(bench, "nor", node)
    assert caught.value.code == "slot.write-failed"
    assert f"offset {2 * BLOCK} of" in caught.value.details


@pytest.mark.req("C11")
@pytest.mark.parametrize(("kind", "memory"), [("nand", "nand"), ("nor", "nor")])
def test_memory_that_gives_back_something_else_is_found_out(
    bench: Lab, kind: str, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = bench.memory(0, memory, BLOCKS)
    feed = programs.run

    def flipping(*argv: str, **rest: object) -> object:
        ended = feed(*argv, **rest)
        if argv[0] == ("nandwrite" if kind == "nand" else "flash_erase"):
            data = bytearray(bench.data(0))
            data[BLOCK + 9] &= 0x0F & ~IMAGE[BLOCK + 9]
            data[BLOCK + 10] = 0
            (bench.root / "mtd0.data").write_bytes(data)
        return ended

    monkeypatch.setattr("slots.handlers.flash.run", flipping)
    with pytest.raises(SlotError) as caught:
        install(bench, kind, node)
    assert caught.value.code == "slot.read-back"


@pytest.mark.parametrize("kind", ["nand", "nor"])
@pytest.mark.parametrize("told", [len(IMAGE) - 1, len(IMAGE) + 1])
def test_an_image_of_another_size_than_announced_is_an_error(bench: Lab, kind: str, told: int) -> None:
    node = bench.memory(0, kind, BLOCKS)
    with pytest.raises(SlotError) as caught:
        install(bench, kind, node, told=told)
    assert caught.value.code == "slot.size-mismatch"


@pytest.mark.parametrize(
    ("kind", "memory"), [("nand", "nor"), ("nand", "ram"), ("nor", "nand"), ("nor", "ubi"), ("jffs2", "rom")]
)
def test_memory_of_another_type_is_refused(bench: Lab, kind: str, memory: str) -> None:
    error = refusal(bench, kind, slot(bench.memory(0, memory, 4), kind))
    assert error.code == "slot.mtd-type"
    assert memory in error.details


@pytest.mark.parametrize("kind", ["nand", "nor", "jffs2"])
def test_what_is_no_flash_memory_is_refused(bench: Lab, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert refusal(bench, kind, slot(tmp_path / "file", kind)).code == "slot.mtd-type"
    assert refusal(bench, kind, slot("/dev/null", kind)).code == "slot.mtd-type"
    assert refusal(bench, kind, slot(tmp_path / "none", kind)).code == "slot.missing"


def test_what_the_kernel_does_not_describe_is_refused(bench: Lab) -> None:
    node = bench.memory(0, "nand", 4)
    bench.say(0, "size", "many")
    assert refusal(bench, "nand", slot(node, "nand")).code == "slot.unreadable"


def test_write_protected_memory_is_refused(bench: Lab) -> None:
    node = bench.memory(0, "nor", 4)
    assert refusal(bench, "nor", slot(node, "nor", readonly=True)).code == "slot.readonly"
    bench.say(0, "flags", "0x0")
    assert refusal(bench, "nor", slot(node, "nor")).code == "slot.readonly"


@pytest.mark.req("T05", "S30")
def test_a_mounted_file_system_on_the_memory_is_refused(bench: Lab) -> None:
    node = bench.memory(1, "nor", 4)
    bench.mounted("36 25 31:1 / /data rw,noatime shared:1 - jffs2 mtd1 rw")
    error = refusal(bench, "jffs2", slot(node, "jffs2"))
    assert error.code == "slot.mounted"
    assert "/data" in error.details


@pytest.mark.req("T05", "S30")
def test_memory_that_ubi_is_attached_to_is_refused(bench: Lab) -> None:
    node = bench.memory(2, "nand", 4)
    (bench.root / "sys/class/ubi/ubi0").mkdir(parents=True)
    (bench.root / "sys/class/ubi/ubi0/mtd_num").write_text("2\n")
    (bench.root / "sys/class/ubi/ubi0_0").mkdir()  # volumes are there as well
    error = refusal(bench, "nand", slot(node, "nand"))
    assert error.code == "slot.mounted"
    assert "ubi0" in error.details


@pytest.mark.req("T05", "S30")
def test_memory_that_the_system_runs_from_is_refused(bench: Lab) -> None:
    node = bench.memory(0, "nand", BLOCKS)
    alias = bench.root / "alias"
    os.mknod(alias, node.stat().st_mode, os.makedev(90, 1))  # mtd0ro
    assert refusal(bench, "nand", slot(node, "nand"), 1, str(alias)).code == "slot.booted"


def test_a_missing_program_is_named_before_anything_is_touched(bench: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    node = bench.memory(0, "nand", 4)
    monkeypatch.setattr(programs, "PATH", str(bench.root))
    error = refusal(bench, "nand", slot(node, "nand"))
    assert error.code == "slot.program-missing"
    assert "nandwrite" in error.details
    assert "mtd-utils" in error.resolution


@pytest.mark.parametrize("kind", ["nor", "nand"])
def test_a_node_without_a_driver_is_an_error_of_its_own(bench: Lab, kind: str) -> None:
    node = bench.memory(0, kind, BLOCKS)
    real = Flash(kind, sysfs=bench.sysfs, proc=bench.proc)
    with pytest.raises(SlotError) as caught:
        real.install(slot(node, kind), content(IMAGE), booted=(), start=0, watch=Watcher())
    assert caught.value.code == "slot.open-failed"


def test_bad_blocks_are_those_that_the_simulated_kernel_tells(bench: Lab) -> None:
    node = bench.memory(0, "nand", 6, {1: MARKED, 3: WORN, 4: MARKED})
    program = (
        "import sys; from slots.handlers.flash import open_chip as o\nwith o(sys.argv[1], writable=False) as c: print("
    )
    program += f"[n for n in range(6) if c.bad(n * {BLOCK})])"
    said = subprocess.run(
        [sys.executable, "-c", program, node], env=programs.ENVIRONMENT, capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert said.stdout.strip() == "[1, 4]"


def test_the_real_way_to_a_chip_writes_and_reads_where_it_should(tmp_path: Path) -> None:
    (tmp_path / "chip").write_bytes(b"\xff" * 100)
    with open_chip(str(tmp_path / "chip"), writable=True) as chip:
        chip.lock()
        assert chip.write(10, b"abc") == 3
        assert chip.read(9, 5) == b"\xffabc\xff"
        assert chip.read(99, 5) == b"\xff"
        with pytest.raises(OSError) as caught:
            chip.bad(0)
    assert caught.value.errno == errno.ENOTTY  # a file knows no such request, and was asked


@pytest.mark.parametrize("program", ["flash_erase", "nandwrite", "nanddump"])
def test_the_programs_know_the_options_that_they_are_given(program: str) -> None:
    said = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    given = {"flash_erase": ["--quiet"], "nandwrite": ["--pad", "--markbad", "--quiet"],
             "nanddump": ["--quiet", "--omitoob", "--bb=", "--length="]}  # fmt: skip
    for option in given[program]:
        assert option in said.stdout + said.stderr


def test_each_type_has_its_handler() -> None:
    assert isinstance(handler("nor"), Flash)
    assert not handler("nand").resumable
    with pytest.raises(KeyError):
        handler("ubivol")
    with pytest.raises(ValueError):
        handler("jffs2").install(slot("/dev/mtd0", "jffs2"), content(IMAGE), booted=(), start=BLOCK, watch=Watcher())
