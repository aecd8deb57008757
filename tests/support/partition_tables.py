"""Disks with partition tables made by the field's own tools, and firmware that reads them by the book."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path

from slots.handlers.halves import Span
from slots.model import Slot

KIB = 1024
MIB = 1024 * KIB
HALF = 256 * KIB
REGION = Span(MIB, 2 * HALF)
DISK = 3 * MIB
REST = MIB + 2 * HALF  # where the second partition begins


def tool(*command: str | Path, text: str = "") -> str:
    argv = [str(part) for part in command]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def table(kind: str, path: Path, *, boot: int = MIB, rest: int = REST) -> None:
    """Gives a file of ``DISK`` bytes a table: ``dos``, ``gpt`` (both by sfdisk) or ``sgdisk``."""
    with path.open("wb") as file:
        file.truncate(DISK)
    if kind == "sgdisk":
        tool(
            "sgdisk", "-a", "1", "-n", f"1:{boot // 512}:+{HALF // KIB}K", "-t", "1:ef00", "-c", "1:boot",
            "-n", f"2:{rest // 512}:+{MIB // KIB}K", "-c", "2:rest", path,
        )  # fmt: skip
        return
    types = ("c", "83") if kind == "dos" else ("U", "L")
    lines = [
        f"start={boot // 512}, size={HALF // 512}, type={types[0]}, bootable",
        f"start={rest // 512}, size={MIB // 512}, type={types[1]}",
    ]
    if kind == "gpt":
        lines = [f"{line.removesuffix(', bootable')}, name=p{n}" for n, line in enumerate(lines)]
        lines[0] += ', attrs="RequiredPartition LegacyBIOSBootable"'
    tool("sfdisk", "--quiet", path, text=f"label: {kind}\n" + "\n".join(lines) + "\n")


def slot(kind: str, device: str | Path = "/dev/disk", region: Span = REGION, *, readonly: bool = False) -> Slot:
    return Slot(
        "bootloader.0", "bootloader", 0, str(device), f"boot-{kind}-switch", region_start=region.start,
        region_size=region.size, readonly=readonly,
    )  # fmt: skip


def by_sfdisk(path: Path) -> dict[str, object]:
    """What libfdisk makes of the table of a disk."""
    found = json.loads(tool("sfdisk", "--json", path))["partitiontable"]
    assert isinstance(found, dict)
    return {key: value for key, value in found.items() if key != "device"} | {
        "partitions": [{key: value for key, value in part.items() if key != "node"} for part in found["partitions"]]
    }


def mbr_boots(data: bytes) -> Span | None:
    """Where a ROM code that reads the MBR finds the first partition."""
    if data[510:512] != b"\x55\xaa":
        return None
    start, count = struct.unpack_from("<II", data, 446 + 8)
    return Span(start * 512, count * 512)


def gpt_boots(data: bytes, sector: int = 512) -> Span | None:
    """Where firmware finds the first partition: the primary GPT if it is valid, else the backup (UEFI 5.3.2)."""
    for lba in (1, len(data) // sector - 1):
        header = data[lba * sector : (lba + 1) * sector]
        size, crc = struct.unpack_from("<II", header, 12)
        if header[:8] != b"EFI PART" or not 92 <= size <= sector:
            continue
        if (
            zlib.crc32(header[:16] + bytes(4) + header[20:size]) != crc
            or struct.unpack_from("<Q", header, 24)[0] != lba
        ):
            continue
        at, count, entry, array_crc = struct.unpack_from("<QIII", header, 72)
        array = data[at * sector : at * sector + count * entry]
        if zlib.crc32(array) == array_crc:
            first, last = struct.unpack_from("<QQ", array, 32)
            return Span(first * sector, (last - first + 1) * sector)
    return None
