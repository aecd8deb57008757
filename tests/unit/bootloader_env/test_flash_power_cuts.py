"""A power cut after every step of every write to NOR, NAND and UBI, in models of these media."""

from __future__ import annotations

import random
import zlib

import pytest
from support.flash import Bench, Power, PowerCut

from bootloader_env import uboot_format as fmt
from bootloader_env.order import Rules, UbootDialect
from bootloader_env.variables import VariableEnv

OLD = (b"bootcmd=run distro", b"BOOT_ORDER=A B", b"BOOT_A_LEFT=3", b"BOOT_B_LEFT=3", b".flags=serial#:so")
STALE = (b"bootcmd=run old", b"BOOT_ORDER=B A")
FLAGS = {"nor": (1, 0), "nand": (7, 6), "ubi": (0, 255), "ubi-large": (7, 6)}


def uboot_takes(kind: str, first: bytes, second: bytes) -> bytes | None:
    """What U-Boot does with two copies, after env/common.c and, for NOR, both env/flash.c and env/sf.c."""
    good = [raw for raw in (first, second) if len(raw) > 5 and zlib.crc32(raw[5:]) == int.from_bytes(raw[:4], "little")]
    if len(good) < 2:
        return good[0] if good else None
    one, two = first[4], second[4]
    serial = second if (one, two) == (255, 0) or ((one, two) != (0, 255) and two > one) else first
    if kind == "nor":
        active = second if (one, two) == (0, 1) else first
        assert one in (0, 1) and two in (0, 1) and active == serial, "its two drivers for NOR must agree"
    return serial


def bench(kind: str, lock: str, active: int) -> Bench:
    """An environment whose copy with this number counts."""
    made = Bench(kind, lock)
    new, old = FLAGS[kind]
    blocks = [fmt.encode(OLD, made.size, flags=new), fmt.encode(STALE, made.size, flags=old)]
    made.fill(*(blocks if active == 0 else reversed(blocks)))
    return made


@pytest.mark.req("S08", "S33", "T26")
@pytest.mark.parametrize("active", [0, 1])
@pytest.mark.parametrize("kind", Bench.KINDS)
def test_after_every_cut_uboot_and_we_read_the_old_or_the_new_environment(tmp_path, kind, active):
    here = bench(kind, str(tmp_path / "lock"), active)
    env = VariableEnv(here.store, Rules(("A", "B"), UbootDialect(3, 3)))
    start, before = here.saved(), dict(here.store.load())
    here.power.steps = 0
    env.activate("B", fallback="A", trial="7:x")
    steps, after = here.power.steps, dict(here.store.load())
    assert steps and before != after
    seen = set()
    for cut in range(1, steps + 1):
        for seed in range(12):
            here.restore(start)
            here.power.cut_at, here.power.steps, here.power.chooser = cut, 0, random.Random(seed)
            with pytest.raises(PowerCut):
                env.activate("B", fallback="A", trial="7:x")
            here.power.cut_at = 0
            found = dict(here.store.load())
            assert found in (before, after)
            taken = uboot_takes(kind, *here.raw())
            assert taken is not None
            assert dict(fmt.variables(fmt.decode(taken, redundant=True).entries)) == found
            seen.add(found == after)
            env.activate("B", fallback="A", trial="7:x")  # what the restarted agent does
            assert dict(here.store.load()) == after
    assert False in seen


@pytest.mark.req("S08", "T26")
@pytest.mark.parametrize("kind", Bench.KINDS)
def test_a_long_life_with_cuts_never_loses_the_environment(tmp_path, kind):
    here = bench(kind, str(tmp_path / "lock"), 0)
    chooser = random.Random(5)
    here.power.chooser = chooser
    count = 0
    for life in range(600):  # more than 255 writes, so that the flags wrap
        before = dict(here.store.load())
        here.power.steps, here.power.cut_at = 0, chooser.choice((0,) * 40 + tuple(range(1, 40)))
        try:
            here.store.update(lambda now, life=life: {"life": str(life)})
            count += 1
        except PowerCut:
            pass
        here.power.cut_at = 0
        found = dict(here.store.load())
        assert found in (before, {**before, "life": str(life)})
        assert found["bootcmd"] == "run distro"
        assert uboot_takes(kind, *here.raw()) is not None
    assert 256 < count < 600


@pytest.mark.parametrize("kind", Bench.KINDS)
def test_every_write_goes_to_the_copy_that_does_not_count(tmp_path, kind):
    here = bench(kind, str(tmp_path / "lock"), 0)
    for step in range(5):
        before = here.raw()
        here.store.update(lambda now, step=step: {"step": str(step)})
        after = here.raw()
        old, new = before[step % 2], after[step % 2]
        assert (old == new) != (kind == "nor"), "in NOR flash the old copy becomes obsolete, nowhere else is it touched"
        assert old[5:] == new[5:]
        assert dict(fmt.variables(fmt.decode(after[1 - step % 2], redundant=True).entries))["step"] == str(step)


def test_the_model_itself_keeps_the_rules_of_flash(tmp_path):
    power = Power()
    here = Bench("nand", str(tmp_path / "lock"))
    here.power = power
    with here.flash.opened(writable=True) as flash:
        flash.erase(0x400, 0x400)
        flash.program(0x400, b"\x0f" * 256)
        with pytest.raises(AssertionError, match="once after an erase"):
            flash.program(0x400, b"\x0f" * 256)
        with pytest.raises(OSError, match="erase failed"):
            flash.erase(0x800, 0x400)
    nor = Bench("nor", str(tmp_path / "lock")).flash
    with nor.opened(writable=True) as flash:
        flash.program(0, b"\xf0")
        flash.program(0, b"\x3f")
        assert flash.read(0, 1) == b"\x30", "programming only clears bits"
