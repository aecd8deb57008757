"""Damages a squashfs image in many ways and reads it each time; run as a process of its own, to watch its memory.

Prints a JSON object: how many mutations were read without complaint, how many were refused, the growth of the peak
resident memory in MiB, and the longest time for one mutation in seconds.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path

from agent.bundle.squashfs import SquashFS
from agent.errors import BundleError
from support.squashfs_images import MemorySource

READ_AT_MOST = 4 * 1024 * 1024  # holes are free: a damaged size may promise terabytes of zeros


def damaged(image: bytes, chooser: random.Random) -> bytes:
    """Flips, overwrites or cuts a few bytes, mostly in the superblock and in the tables at the end."""
    data = bytearray(image)
    for _ in range(chooser.choice((1, 1, 1, 2, 5))):
        start, end = chooser.choice(((0, 96), (int.from_bytes(image[64:72], "little"), len(image)), (0, len(image))))
        at = chooser.randrange(start, end)
        width = chooser.choice((1, 1, 2, 4, 8))
        value = chooser.choice((data[at] ^ 1 << chooser.randrange(8), 0, 0xFF, 0x7F, chooser.randrange(256)))
        data[at : at + width] = bytes([value]) + bytes(chooser.choice((0, 0xFF)) for _ in range(width - 1))
    if chooser.random() < 0.05:
        del data[chooser.randrange(len(data)) :]
    return bytes(data[: len(image)])


def read_everything(image: bytes, backend: str) -> int:
    """Reads all files; returns the bytes seen."""
    system = SquashFS(MemorySource(image), backend=backend)
    seen = 0
    for name in system.listdir():
        for piece in system.open(name).blocks():
            seen += len(piece)
            if seen > READ_AT_MOST:
                return seen
    return seen


def main(path: str, backend: str, count: int, seed: int) -> None:
    """Runs ``count`` mutations; anything but a BundleError ends the process with a traceback."""
    image = Path(path).read_bytes()
    chooser = random.Random(seed)
    read_everything(image, backend)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = {"read": 0, "refused": 0}
    longest = 0.0
    for _ in range(count):
        started = time.monotonic()
        try:
            read_everything(damaged(image, chooser), backend)
            outcome["read"] += 1
        except BundleError:
            outcome["refused"] += 1
        longest = max(longest, time.monotonic() - started)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    sys.stdout.write(json.dumps({**outcome, "growth": growth, "longest": longest}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
