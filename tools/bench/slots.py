"""One image file into a slot on a loop device: by `dd`, by `rauc write-slot`, and by our writer with and without reading back.

Nothing is unpacked or verified here; the file is in the page cache. "again" is the same image into the slot that holds it
already, as after an interrupted update, or where two versions share their blocks.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from slots.device import Target, open_target
from slots.model import Slot
from slots.read_back import ReadBack, read_back
from slots.writer import write_image
from tools.bench import material, runners

_PIECE = 128 * 1024  # bytes, the block size of a squashfs


@dataclass(frozen=True)
class Sample:
    """Wall and CPU in seconds, MiB that were written."""

    wall: float
    cpu: float
    written: float


def _nobody(_: int) -> None:
    pass


def measure(build: Path, size: int, rounds: int) -> dict[str, object]:
    """Lets everybody write in turn; the slot holds zeros before each run but "again"."""
    if os.geteuid() != 0:
        sys.exit("bench: loop devices need root: sudo make bench")
    image = material.image(build, size)
    with material.two_slots(build, size + 16) as slots:
        runs: dict[str, Callable[[], float]] = {
            "dd oflag=direct": lambda: _dd(image, slots[1]),
            "rauc write-slot": lambda: _rauc(build, image, slots),
            "ours": lambda: _ours(image, slots, _alone),
            "ours, read back after it": lambda: _ours(image, slots, _after),
            "ours, read back": lambda: _ours(image, slots, _beside),
            "ours, read back, again": lambda: _ours(image, slots, _beside),
        }
        samples: dict[str, list[Sample]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                samples[name].append(_timed(run))
                if name != "ours, read back":
                    material.check_and_blank(image, slots[1])
    _table(size, rounds, samples)
    return {name: [asdict(each) for each in found] for name, found in samples.items()}


def _timed(run: Callable[[], float]) -> Sample:
    def cpu() -> float:
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in usage)

    before, started = cpu(), time.monotonic()
    written = run()
    return Sample(time.monotonic() - started, cpu() - before, written / (1 << 20))


def _dd(image: Path, device: str) -> float:
    options = ["bs=1M", "oflag=direct", "conv=fsync,notrunc", "status=none"]
    subprocess.run(["dd", f"if={image}", f"of={device}", *options], check=True)
    return image.stat().st_size


def _rauc(build: Path, image: Path, slots: list[str]) -> float:
    runners.configure_rauc(build, slots)
    command = ["rauc", "-c", build / "system.conf", "write-slot", "rootfs.1", image]
    subprocess.run(["unshare", "-m", *command], check=True, capture_output=True)
    return image.stat().st_size


def _ours(image: Path, slots: list[str], way: Callable[[Target, Iterator[bytes], int], int]) -> float:
    slot, size = Slot("rootfs.1", "rootfs", 1, slots[1], "raw", bootname="B"), image.stat().st_size
    with open_target(slot, booted=[slots[0]], size=size) as target:
        return way(target, _pieces(image), size)


def _alone(target: Target, pieces: Iterator[bytes], size: int, settled: Callable[[int], None] = _nobody) -> int:
    return write_image(target, pieces, size, progress=_nobody, checkpoint=_nobody, settled=settled).written


def _after(target: Target, pieces: Iterator[bytes], size: int) -> int:
    written = _alone(target, pieces, size)
    read_back(target, size, _nobody)
    return written


def _beside(target: Target, pieces: Iterator[bytes], size: int) -> int:
    with ReadBack(target, size) as reading:
        written = _alone(target, pieces, size, settled=reading.settled)
        reading.finish(_nobody)
    return written


def _pieces(image: Path) -> Iterator[bytes]:
    with image.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece


def _table(size: int, rounds: int, samples: dict[str, list[Sample]]) -> None:
    print(f"\nwriting a {size} MiB ext4 image into a slot, median of {rounds} alternating rounds")
    print(f"{'':28}{'wall s':>8}{'MiB/s':>8}{'CPU s':>8}{'written MiB':>13}{'/dd wall':>10}{'/rauc wall':>12}")
    walls = {name: statistics.median(each.wall for each in found) for name, found in samples.items()}
    for name, found in samples.items():
        wall, cpu = walls[name], statistics.median(each.cpu for each in found)
        print(
            f"{name:28}{wall:8.2f}{size / wall:8.0f}{cpu:8.2f}{found[-1].written:13.0f}"
            f"{wall / walls['dd oflag=direct']:10.2f}{wall / walls['rauc write-slot']:12.2f}"
        )
