"""GRUB itself runs the boot script: ``grub-emu``, GRUB as a program of this system, over a disk of environment blocks.

The blocks are files on a FAT disk image, as on an EFI system partition, and are read and written by GRUB's own ``load_env``
and ``save_env``. In place of starting a kernel it prints what the block on the disk holds at that moment.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.demo.bootlogic import Run, Try
from agent.demo.grubscript import GrubBlock
from support.boot_cases import Case

_FOLDER = 64  # files: GRUB reads a folder of FAT from its beginning for each file that it opens
_BOARD = """
set ota_slots="$test_slots"
set ota_rescue="$test_rescue"
set ota_grubenv="$test_block"
function ota_boot {
  echo "@boot $ota_slot"
  list_env --file "$test_block"
  echo "@"
  set ota_started=yes
  for test_name in $test_failing; do
    if [ "$test_name" = "$ota_slot" ]; then set ota_started=no; fi
  done
}
function ota_reset {
  echo "@reset"
}
"""


def run_all(script: Path, cases: Sequence[Case], directory: Path, board: str = _BOARD) -> list[Run]:
    """Runs the script over every case; all in one start of GRUB."""
    parts = texts(script, cases, directory, board)
    return [_seen(part, case) for part, case in zip(parts, cases, strict=True)]


def texts(script: Path, cases: Sequence[Case], directory: Path, board: str) -> list[str]:
    """What GRUB prints for each case.

    Args:
        script: the boot script.
        cases: each has a block of its own, ``$test_block``.
        directory: an empty one.
        board: the script's file for the board.
    """
    _make_disk(cases, directory)
    shutil.copyfile(script, directory / "script.cfg")
    (directory / "ota-board.cfg").write_text(board)
    (directory / "device.map").write_text(f"(hd0) {directory / 'disk.img'}\n")
    lines = [line for number, case in enumerate(cases) for line in _lines(number, case)]
    (directory / "grub.cfg").write_text("\n".join(["set enable_progress_indicator=0", *lines, "exit"]) + "\n")
    done = subprocess.run(
        ["grub-emu", "-d", directory, "-m", directory / "device.map"],
        stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout.decode("latin-1")).replace("\r", "")
    parts = text.split("@case ")[1:]
    assert len(parts) == len(cases), text[-2000:]
    return parts


def _make_disk(cases: Sequence[Case], directory: Path) -> None:
    files = directory / "files"
    for number, case in enumerate(cases):
        path = files / str(number // _FOLDER) / str(number % _FOLDER)
        path.parent.mkdir(parents=True, exist_ok=True)
        GrubBlock(path).format(case.variables)
    disk = directory / "disk.img"
    subprocess.run(["mkfs.vfat", "-C", disk, "32768"], check=True, capture_output=True)
    subprocess.run(["mcopy", "-s", "-i", disk, *files.iterdir(), "::/"], check=True)


def _lines(number: int, case: Case) -> Iterator[str]:
    yield f"echo '@case {number}'"
    yield f"set test_slots='{' '.join(case.bootnames)}'; set test_rescue='{case.rescue}'"
    yield f"set test_block='(hd0)/{number // _FOLDER}/{number % _FOLDER}'; set test_failing='{' '.join(case.failing)}'"
    yield 'source "$prefix/script.cfg"'
    yield "echo '@stored'; list_env --file \"$test_block\"; echo '@'"


def _seen(text: str, case: Case) -> Run:
    tries, reset, stored = [], False, dict[str, str]()
    lines = iter(text.split("\n"))
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "@boot":
            tries.append(Try(rest, _listed(lines)))
        elif word == "@stored":
            stored = _listed(lines)
        elif word == "@reset":
            reset = True
    started = tries[-1].bootname if tries and not reset else None
    return Run(
        tuple(tries), started, stored, text.count("OTA: storing the environment"), "OTA: no slot has attempts" in text
    )


def _listed(lines: Iterator[str]) -> dict[str, str]:
    variables = {}
    for line in lines:
        if line == "@":
            break
        name, separator, value = line.partition("=")
        if separator:
            variables[name] = value
    return variables
