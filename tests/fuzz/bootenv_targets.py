"""Targets of the boot environment: fw_env.config in both formats, and the U-Boot environment."""

from __future__ import annotations

import random
import zlib

from bootloader_env import fwenv_config
from bootloader_env import uboot_format as fmt
from bootloader_env.errors import BootEnvError
from fuzz.mutate import by_lines, change_bytes, either
from fuzz.target import Target

LINES = b"# both copies\n/dev/mtd3 0x0 0x20000 0x20000 4 1\n/dev/mtd3 -0x80000 20000 0x20000 4\n"
YAML = b"""\
---
uboot:
  size : 0x4000
  lockfile : /var/lock/fw_printenv.lock
  writelist:
    - BOOT_ORDER:sw
    - 'serial#:so'
  devices:
    - path : /dev/mtd0   # first
      offset : 0xA0000
      sectorsize : 0x10000
    - path : "/dev/mtd0"
      offset : -0x10000
      disablelock : yes
data:
  size: 010000
  devices:
  -
    path: /data.bin
"""


def run_fwenv(data: bytes) -> None:
    """What is accepted describes one or two copies, which mean the same when they are written as lines."""
    layout = fwenv_config.parse(data.decode("utf-8", "replace"), hint="uboot")
    assert len({copy.size for copy in layout.copies}) == 1
    lines = ""
    for copy in layout.copies:
        lines += f"{copy.device} {copy.offset:#x} {copy.size:x} {copy.sector_size:x} {copy.sectors:x} {copy.disable_lock:d}\n"
        assert fwenv_config.MIN_SIZE <= copy.size <= fwenv_config.MAX_SIZE
    if not any(character.isspace() for copy in layout.copies for character in copy.device):
        assert fwenv_config.parse(lines).copies == layout.copies


def environments() -> list[bytes]:
    """Copies of an environment; the first byte tells whether it has flags."""
    entries = (
        b"bootcmd=run a; run b",
        b"BOOT_ORDER=A B",
        b"=odd",
        b"odd",
        b"a=",
        b"a=2",
        b".flags=serial#:so",
        b"\xff=\xfe=",
    )
    return [
        b"\1" + fmt.encode(entries, 300, flags=255),
        b"\0" + fmt.encode(entries, 300, flags=None),
        b"\1" + fmt.encode((), 64, flags=0),
    ]


def run_uboot(data: bytes) -> None:
    """Written again it is the same; a change is read back, and leaves all other entries as they are."""
    redundant, raw = bool(data[:1] < b"\x80" and data[:1] > b"\0"), data[1:]
    image = fmt.decode(raw, redundant=redundant)
    if image is None:
        raise BootEnvError("bootenv.invalid", "the checksum is wrong")
    flags = image.flags if redundant else None
    assert fmt.decode(fmt.encode(image.entries, len(raw), flags=flags), redundant=redundant) == image
    changed = fmt.edited(image.entries, {"BOOT_ORDER": "B", "a": None})
    assert fmt.variables(changed).get("BOOT_ORDER") == "B" and "a" not in fmt.variables(changed)
    names = (b"BOOT_ORDER=", b"a=")
    kept = [entry for entry in image.entries if not entry.startswith(names)]
    assert [entry for entry in changed if not entry.startswith(names)] == kept
    both = (image, fmt.Image((image.flags + 1) & 255, ()))
    assert fmt.current(both) == 1 and fmt.current(both[::-1]) == 0


def with_right_crc(data: bytes, chooser: random.Random) -> bytes:
    """Changes bytes, and makes the checksum right again most of the time."""
    out = change_bytes(data, chooser)
    skip = 6 if out[:1] > b"\0" else 5
    if len(out) <= skip or chooser.random() < 0.2:
        return out
    return out[:1] + zlib.crc32(out[skip:]).to_bytes(4, "little") + out[5:]


_WORDS = (
    b"uboot:", b"  size: 64", b"  devices:", b"    - path: /a", b"      offset: 0x10", b"- ", b"---", b": ", b" #", b"'", b"0x",
    b"-1", b"  writelist: []", b"\t", b"/dev/ubi0:env 0 1f000", b"/a 0 40", b"99999999999999999999", b"\xff", b"\x85", b"&a *a",
)  # fmt: skip

TARGETS = (
    Target(
        "fwenv", lambda: [LINES, YAML], run_fwenv, (BootEnvError,), either(change_bytes, by_lines(_WORDS)),
        share=1, longest=fwenv_config.MAX_FILE,
    ),
    Target("ubootenv", environments, run_uboot, (BootEnvError,), with_right_crc, share=1),
)  # fmt: skip
