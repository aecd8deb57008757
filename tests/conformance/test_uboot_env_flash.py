"""NOR, NAND and UBI: fw_setenv of libubootenv and we, by the same system calls on the same flash.

The flash is a library that is loaded into both programs (support/flash_preload.c), since it needs no kernel with MTD; it ends a
program that breaks a rule of the hardware.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bootloader_env import flash_devices
from bootloader_env import uboot_format as fmt

SIZE, BLOCK, PAGE = 0x2000, 0x1000, 0x200
ROOT = Path(__file__).parents[2]
KINDS = ("nor", "nand", "ubi")


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("preload") / "flash.so"
    source = ROOT / "tests/support/flash_preload.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(path), str(source)], check=True)
    return str(path)


class Board:
    """A board with its environment in flash, and both programs on it."""

    def __init__(self, folder: Path, library: str, kind: str, flags: tuple[int, int]) -> None:
        self.folder = folder
        self.kind = kind
        self.environ = {**os.environ, "FLASH_DIR": str(folder), "LD_PRELOAD": library, "PYTHONPATH": str(ROOT)}
        self.copies = [("mtd0", 0), ("mtd0", 0x8000)] if kind != "ubi" else [("ubi0_0", 0), ("ubi0_1", 0)]
        self.bad = {0, 2, 9} if kind == "nand" else set()
        size = SIZE if kind == "ubi" else 16 * BLOCK
        for number, name in enumerate(sorted({name for name, _ in self.copies})):
            (folder / name).write_bytes(b"\xff" * size)
            shape = {"nor": (BLOCK, 1), "nand": (BLOCK, PAGE), "ubi": (SIZE, 1)}[kind]
            (folder / f"{name}.shape").write_text(f"{kind} {size} {shape[0]} {shape[1]}")
            (folder / f"{name}.bad").write_bytes(bytes(block in self.bad for block in range(16)))
            (folder / f"{name}.locks").write_bytes(bytes([kind == "nor"]) * 16)
            home = folder / f"{name}.sys"
            home.mkdir()
            values = {"type": "dynamic", "usable_eb_size": SIZE, "reserved_ebs": 1, "upd_marker": 0, "corrupted": 0}
            for attribute, value in values.items():
                (home / attribute).write_text(f"{value}\n")
            system = "ubi" if kind == "ubi" else "mtd"
            (folder / "sys/dev/char").mkdir(parents=True, exist_ok=True)
            (folder / "sys" / system).mkdir(exist_ok=True)
            (home / "subsystem").symlink_to(folder / "sys" / system)
            (folder / f"sys/dev/char/90:{number}").symlink_to(home)
        blocks = " 0x1000 4" if kind != "ubi" else ""
        lines = [f"/dev/{name} {offset:#x} {SIZE:#x}{blocks}\n" for name, offset in self.copies]
        (folder / "fw_env.config").write_text("".join(lines))
        for number, flag in enumerate(flags):
            self.put(number, fmt.encode((b"bootcmd=run distro", b"which=%d" % number), SIZE, flags=flag))
        argv = [sys.executable, str(ROOT / "tests/support/flash_driver.py"), str(folder / "fw_env.config")]
        argv += [str(folder / "lock"), str(folder / "sys")]
        self.driver = subprocess.Popen(argv, env=self.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def places(self, number: int) -> tuple[Path, list[int]]:
        """The file of a copy, and where its blocks are; computed here once more, from what the bad blocks are."""
        name, offset = self.copies[number]
        starts = [at for at in range(offset, offset + 4 * BLOCK, BLOCK) if at // BLOCK not in self.bad][:2]
        return self.folder / name, starts if self.kind != "ubi" else [0, BLOCK]

    def put(self, number: int, image: bytes) -> None:
        path, starts = self.places(number)
        data = bytearray(path.read_bytes())
        for piece, at in enumerate(starts):
            data[at : at + BLOCK] = image[piece * BLOCK : (piece + 1) * BLOCK]
        path.write_bytes(data)

    def raw(self, number: int) -> bytes:
        path, starts = self.places(number)
        data = path.read_bytes()
        return b"".join(data[at : at + BLOCK] for at in starts)

    def ours(self, changes: dict[str, str | None] | None = None) -> dict[str, str]:
        assert self.driver.stdin and self.driver.stdout
        self.driver.stdin.write(json.dumps(changes or {}) + "\n")
        self.driver.stdin.flush()
        answer = self.driver.stdout.readline()
        assert answer, f"our program ended with {self.driver.wait()}"
        return dict(json.loads(answer))

    def tool(self, *argv: str | bytes) -> str:
        call = [argv[0], "-c", str(self.folder / "fw_env.config"), *argv[1:]]
        done = subprocess.run(call, check=False, env=self.environ, capture_output=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("latin-1")

    def printed(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.tool("fw_printenv").split("\n") if line)


@pytest.fixture
def board(tmp_path, library, request):
    made = Board(tmp_path, library, *request.param)
    yield made
    with made.driver:
        made.driver.stdin.close()
        assert made.driver.wait(timeout=20) == 0


def with_flags(*nand_flags):
    return [(kind, (1, 0) if kind == "nor" else nand_flags) for kind in KINDS]


@pytest.mark.parametrize("board", with_flags(250, 249), indirect=True, ids=KINDS)
def test_random_changes_by_us_and_by_fw_setenv_are_read_alike_by_both(board):
    chooser = random.Random(board.kind)
    expected = {"bootcmd": "run distro", "which": "0"}
    assert board.ours() == board.printed() == expected
    for step in range(300):
        name = "v" + chooser.choice("abcdef")
        value = (
            "".join(chooser.choices("ab= '\"\\\xe4", k=chooser.choice((1, 30, 400))))
            if chooser.random() < 0.8
            else None
        )
        if chooser.random() < 0.5:
            board.ours({name: value})
        else:
            board.tool("fw_setenv", "--", name, *([] if value is None else [value.encode("latin-1")]))
        expected = {key: text for key, text in {**expected, name: value}.items() if text is not None}
        if step % 3 == 0:
            assert board.printed() == expected
        assert board.ours() == expected
        if board.kind == "nor":
            assert sorted(board.raw(number)[4] for number in (0, 1)) == [0, 1]
    if board.kind == "nor":
        assert set((board.folder / "mtd0.locks").read_bytes()[:2]) == {1}, "protected again"


FLAGS = [(1, 0), (0, 1), (1, 1), (0, 0), (255, 254), (255, 1), (1, 255), (7, 8)]


@pytest.mark.parametrize(
    "board", [(kind, flags) for kind in KINDS for flags in (*FLAGS, *([] if kind == "nor" else [(255, 0), (0, 255)]))],
    indirect=True, ids=str,
)  # fmt: skip
def test_of_two_valid_copies_fw_printenv_and_we_take_the_same(board):
    assert board.ours() == board.printed()


@pytest.mark.parametrize("board", with_flags(9, 8), indirect=True, ids=KINDS)
def test_with_one_torn_copy_fw_printenv_and_we_take_the_other(board):
    for number in (0, 1):
        whole = board.raw(number)
        board.put(number, whole[:700] + bytes(12) + b"\x55" + whole[713:])
        assert board.ours() == board.printed() == {"bootcmd": "run distro", "which": str(1 - number)}
        board.put(number, whole)


@pytest.mark.parametrize("board", [("ubi", (9, 8))], indirect=True, ids=["ubi"])
def test_a_volume_whose_update_was_cut_is_mended_by_our_next_write(board):
    marker = board.folder / "ubi0_1.sys/upd_marker"
    marker.write_text("1\n")
    assert board.ours({"a": "1"}) == {"bootcmd": "run distro", "which": "0", "a": "1"}
    assert marker.read_text() == "0\n"
    assert board.printed() == board.ours()


def test_system_calls_are_what_strace_knows_by_these_names(tmp_path):
    script = tmp_path / "calls.py"
    script.write_text(f"""
import contextlib, os, sys
sys.path.insert(0, {str(ROOT)!r})
from bootloader_env.flash_devices import MtdDevice, UbiVolume
flash, volume = MtdDevice(os.open("/dev/null", os.O_RDWR), "x"), UbiVolume("/dev/null", "/")
for call in (
    flash.geometry, lambda: flash.is_bad(0x20000), lambda: flash.unlock(0x20000, 0x1000), lambda: flash.lock(0x20000, 0x1000),
    lambda: flash.erase(0x20000, 0x4000), lambda: volume.exchange(b"x" * 300), lambda: volume.update(b"x" * 300),
):
    with contextlib.suppress(OSError):
        call()
""")
    argv = ["strace", "-e", "trace=ioctl", sys.executable, "-I", str(script)]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stderr
    calls = [line.split("(", 1)[1].split(")  ")[0] for line in shown.splitlines() if "MEM" in line or "UBI" in line]
    wanted = [
        "MEMGETINFO, 0x", "MEMGETBADBLOCK, [131072]", "MEMUNLOCK, {start=0x20000, length=0x1000}",
        "MEMLOCK, {start=0x20000, length=0x1000}", "MEMERASE, {start=0x20000, length=0x4000}",
        "UBI_IOCEBCH, {lnum=0, bytes=300, dtype=UBI_UNKNOWN}", "UBI_IOCVOLUP, [300]",
    ]  # fmt: skip
    assert len(calls) == len(wanted)
    assert all(part in call for part, call in zip(wanted, calls, strict=True)), calls


@pytest.mark.parametrize(
    ("machine", "erase", "info"),
    [("x86_64", 0x40084D02, 0x80204D01), ("aarch64", 0x40084D02, 0x80204D01), ("mips64", 0x80084D02, 0x40204D01),
     ("ppc64le", 0x80084D02, 0x40204D01)],
)  # fmt: skip
def test_machines_number_their_system_calls_differently(machine, erase, info):
    assert flash_devices.request("W", "M", 2, 8, machine) == erase
    assert flash_devices.request("R", "M", 1, 32, machine) == info
