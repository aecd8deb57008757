"""Runs in a guest, with the agent that is installed there: environments and slots on the MTD and UBI of a real kernel.

NAND is nandsim, other memory is mtdram. ``prepare`` makes the memory, as root; ``environments`` is for the sandbox of the
daemon, ``answers`` then for root, ``slots`` for the sandbox of the installer. All print what they have found as JSON.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, "/usr/lib/ota-agent")
from bootloader_env.fwenv_config import parse
from bootloader_env.uboot import UbootStore
from slots.errors import SlotError
from slots.handlers.port import Content
from slots.handlers.table import handler_for
from slots.model import Slot

IMAGE = random.Random(1).randbytes(1_500_001)
# 128 KiB erase blocks; block 0 is bad, in the first copy of the environment, and block 20, in the slot.
_CHIP = "nandsim id_bytes=0x20,0xaa,0x00,0x15 parts=16,64,160,32 badblocks=0,20"
_VOLUMES = ("env -s 124KiB", "redund -s 124KiB", "dynamic -s 4MiB", "fixed -s 4MiB -t static")
_PLACES = {
    "nand": "/dev/mtd0 0x0 0x4000 0x20000 4\n/dev/mtd0 0x80000 0x4000 0x20000 4\n",
    "ubi": "/dev/ubi0:env 0x0 0x4000\n/dev/ubi0:redund 0x0 0x4000\n",
}
_HOME = Path("/run")


class _Watch:
    def wrote(self, done: int) -> None:
        pass

    def checked(self, done: int) -> None:
        pass

    def checkpoint(self, offset: int) -> None:
        pass


def prepare() -> None:
    """Makes the memory, and an environment of U-Boot's own tools in each place."""
    for module in (_CHIP, "mtdram total_size=4096 erase_size=64", "ubi", "jffs2"):
        run(f"modprobe {module}")
    run("ubiformat -q -y /dev/mtd2 && ubiattach -p /dev/mtd2 -d 0")
    for volume in _VOLUMES:
        run(f"ubimkvol /dev/ubi0 -N {volume}")
    run("mount -t jffs2 mtd3 /mnt")
    defaults = _HOME / "defaults"
    defaults.write_text("bootcmd=run distro\n")
    for name, text in _PLACES.items():
        _config(name).write_text(text)
        run(f"fw_setenv -c {_config(name)} -f {defaults} BOOT_ORDER A")


def environments() -> dict[str, list[str]]:
    """What fw_printenv reads, after each time that we have written."""
    return {name: [_told(name, order) for order in ("B A", "A B", "A")] for name in _PLACES}


def answers() -> dict[str, list[str]]:
    """What we read, after each time that fw_setenv has written; to a UBI volume it may only in no sandbox (UBI_IOCVOLUP)."""
    return {name: [_heard(name, left) for left in ("3", "2", "1")] for name in _PLACES}


def slots() -> dict[str, Any]:
    """Which slots hold the image, as programs see it that are not ours, and which are refused with what code."""
    chip = next(path.parent.name for path in Path("/sys/class/mtd").glob("mtd?/type") if path.read_text() == "ram\n")
    readers = {
        "nand": ("/dev/mtd1", "nanddump --quiet --bb=skipbad /dev/mtd1"),
        "nor": (f"/dev/{chip}", f"cat /dev/{chip}"),
        "ubivol": ("/dev/ubi0_2", "cat /dev/ubi0_2"),
        "static ubivol": ("/dev/ubi0_3", "cat /dev/ubi0_3"),
    }
    held = {name: _held(name.split()[-1], *where) for name, where in readers.items()}
    with Path("/dev/ubi0_2").open("rb"):
        open_volume = _refusal("ubivol", "/dev/ubi0_2")
    return {
        "held": held,
        "refused": {
            "attached": _refusal("nand", "/dev/mtd2"), "mounted": _refusal("jffs2", "/dev/mtd3"), "open": open_volume,
        },
        "bad blocks": run("cat /sys/class/mtd/mtd1/bad_blocks").strip(),
    }  # fmt: skip


def run(command: str) -> str:
    """Returns the output of a command, which must succeed; a character for each byte."""
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode} {done.stdout[-500:]!r} {done.stderr!r}"
    return done.stdout.decode("latin-1")


def _config(name: str) -> Path:
    return _HOME / f"{name}.config"


def _store(name: str) -> UbootStore:
    return UbootStore(parse(_config(name).read_text()).copies)


def _told(name: str, order: str) -> str:
    _store(name).update(lambda _: {"BOOT_ORDER": order})
    return run(f"fw_printenv -c {_config(name)} -n BOOT_ORDER").strip()


def _heard(name: str, left: str) -> str:
    run(f"fw_setenv -c {_config(name)} BOOT_A_LEFT {left}")
    found = _store(name).load()
    return f"{found['BOOT_A_LEFT']} {found['BOOT_ORDER']} {found['bootcmd']}"


def _held(kind: str, device: str, reader: str) -> bool:
    _install(kind, device)
    return run(reader).encode("latin-1")[: len(IMAGE)] == IMAGE


def _refusal(kind: str, device: str) -> str:
    try:
        _install(kind, device)
    except SlotError as error:
        return error.code
    return ""


def _install(kind: str, device: str) -> None:
    target = Slot("firmware.0", "firmware", 0, device, kind)
    handler = handler_for(kind, "raw")
    handler.preflight(target, "raw", len(IMAGE))
    content = Content("image", "raw", len(IMAGE), hashlib.sha256(IMAGE).hexdigest(), lambda start: [IMAGE[start:]])
    handler.install(target, content, booted=(), start=0, watch=_Watch())


if __name__ == "__main__":
    does = {"prepare": prepare, "environments": environments, "answers": answers, "slots": slots}
    found = does[sys.argv[1]]()
    sys.stdout.write(json.dumps(found) + "\n")
