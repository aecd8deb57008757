"""A real block device that fails where it is told to: QEMU's blkdebug, exported as a file by FUSE, under a loop device."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.disks import loop
from support.filesystems import sized

SECTOR = 512


@contextmanager
def failing(directory: Path, size: int, *, offset: int, io: str = "write") -> Iterator[str]:
    """A loop device of ``size`` bytes, on which every request (``io``: read, write) that touches ``offset`` ends in EIO."""
    backing, export = sized(directory / "backing", size), sized(directory / "export", 0)
    rule = f"inject-error.0.event=none,inject-error.0.iotype={io},inject-error.0.sector={offset // SECTOR}"
    daemon = subprocess.Popen(
        [
            "qemu-storage-daemon",
            *("--blockdev", f"driver=file,filename={backing},node-name=file"),
            *("--blockdev", f"driver=blkdebug,node-name=top,image=file,{rule},inject-error.0.once=off"),
            *("--export", f"type=fuse,id=export,node-name=top,mountpoint={export},writable=on"),
        ]
    )
    try:
        _await(export, size, daemon)
        with loop(export, "--direct-io=on") as device:  # else the cache above the export answers
            yield device
    finally:
        daemon.terminate()
        daemon.wait(10)


def _await(export: Path, size: int, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while export.stat().st_size != size:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("qemu-storage-daemon does not serve the device")
        time.sleep(0.01)
