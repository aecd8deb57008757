"""How fast each implementation of a compressor unpacks blocks of 128 KiB, and what unpacking ahead of the writer gains."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from pathlib import Path

from agent.bundle import compression, squashfs, squashfs_data
from agent.bundle.source import FileSource
from agent.errors import EnvironmentFault
from slots.device import open_target
from slots.model import Slot
from slots.writer import write_image

ROUNDS = 5
NUMBERS = {"gzip": compression.GZIP, "xz": compression.XZ, "zstd": compression.ZSTD, "lz4": compression.LZ4}
BACKENDS = {"gzip": [""], "xz": [""], "zstd": list(compression._ZSTD_BACKENDS), "lz4": list(compression._LZ4_BACKENDS)}  # noqa: SLF001


def measure(build: Path, image: Path) -> dict[str, object]:
    """Unpacks the first 64 MiB of the image with every implementation that is installed, alternating."""
    head = build / "head" / "rootfs.ext4"
    head.parent.mkdir(exist_ok=True)
    with image.open("rb") as file:
        head.write_bytes(file.read(64 << 20))
    found: dict[str, float] = {}
    for name, backends in BACKENDS.items():
        packed = build / f"head-{name}.squashfs"
        command = ["mksquashfs", head, packed, "-comp", name, "-noappend", "-quiet", "-no-progress"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found |= {
            f"{name} {backend or 'standard library'}": value for backend, value in _rates(packed, backends).items()
        }
    fastest = {name: max(rate for key, rate in found.items() if key.startswith(name)) for name in BACKENDS}
    print(
        f"\nunpacking by one thread, MiB of output per CPU second, best of {ROUNDS}; ratio to the fastest of its kind"
    )
    for key, rate in found.items():
        print(f"{key:28}{rate:8.0f}{rate / fastest[key.split()[0]]:8.2f}")
    return {"unpacking_mib_per_s": found, "ahead": {name: _overlap(build, name) for name in ("gzip", "zstd")}}


def _overlap(build: Path, name: str) -> dict[str, list[float]]:
    """Writes the unpacked file, with the blocks unpacked ahead by threads and in turn with the writing, alternating."""
    ways = {"ahead": squashfs.unpacked, "in turn": _in_turn}
    wall: dict[str, list[float]] = {way: [] for way in ways}
    target, running = build / "ahead.img", build / "running.img"
    for path in (target, running):
        with path.open("wb") as file:
            file.truncate(64 << 20)
    slot = Slot(name="rootfs.1", slot_class="rootfs", index=1, device=str(target), type="raw", readonly=False)
    for _ in range(ROUNDS):
        for way, unpacked in ways.items():
            fd = os.open(build / f"head-{name}.squashfs", os.O_RDONLY)
            squashfs.unpacked = unpacked
            blocks = squashfs.SquashFS(FileSource(fd)).open("rootfs.ext4").blocks()
            started = time.monotonic()
            with open_target(slot, booted=(str(running),), size=64 << 20) as opened:
                write_image(opened, blocks, 64 << 20, progress=lambda _: None, checkpoint=lambda _: None)
            wall[way].append(time.monotonic() - started)
            os.close(fd)
    squashfs.unpacked = ways["ahead"]
    one, two = statistics.median(wall["ahead"]), statistics.median(wall["in turn"])
    print(f"{name}, unpacked ahead of the writer: {one:.2f} s, in turn with it: {two:.2f} s, ratio {one / two:.2f}")
    return wall


def _rates(packed: Path, backends: list[str]) -> dict[str, float]:
    cpu: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for backend in backends:
            try:
                seconds = _unpack(packed, backend)
            except EnvironmentFault:
                continue  # not installed here
            cpu.setdefault(backend, []).append(seconds)
    return {backend: 64 / min(each) for backend, each in cpu.items()}


def _unpack(packed: Path, backend: str) -> float:
    fd = os.open(packed, os.O_RDONLY)
    inside, squashfs.unpacked = squashfs.unpacked, _in_turn
    try:
        blocks = squashfs.SquashFS(FileSource(fd), backend=backend).open("rootfs.ext4").blocks()
        before = time.process_time()
        for _ in blocks:
            pass
        return time.process_time() - before
    finally:
        squashfs.unpacked = inside
        os.close(fd)


def _in_turn(blocks, pieces, decompress, block_size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - a tool
    return squashfs_data._in_turn(blocks, squashfs_data.Cutter(pieces), decompress, bytes(block_size))  # noqa: SLF001
