"""Keeps a slot for one process alone while it works on it, alone or through programs.

O_EXCL keeps others from a block device, but also the programs that we start ourselves (mkfs opens it exclusively too),
and does nothing for files. flock(2) is advice that every process of ours takes, and udevd as well
(systemd: ``docs/BLOCK_DEVICE_LOCKING.md``). A lock lives as long as any process has the open file: a program that has
inherited it still holds it when its parent was killed.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from slots import ioctls
from slots.device import open_target
from slots.errors import SlotError
from slots.model import Slot
from slots.usage import Identity

_PATIENCE = 10.0  # seconds: what was killed may still be dying
# linux/fs.h: write out and forget what the kernel has cached of a block device
_BLKFLSBUF = ioctls.request(0x12, 97, 0, write=False, read=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """A locked slot that programs may open.

    Attributes:
        fd: holds the lock; for programs to inherit.
        path: the real path.
        capacity: in bytes.
    """

    fd: int
    path: str
    capacity: int

    def forget_cached(self) -> None:
        """Makes the kernel read the device, or the file, again.

        Raises:
            SlotError: ``slot.write-failed``: what was cached cannot be written.
        """
        try:
            os.fsync(self.fd)
            if not stat.S_ISBLK(os.fstat(self.fd).st_mode) or not self._flushed():
                os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)  # clean pages leave the cache
        except OSError as error:
            raise SlotError(
                "slot.write-failed", "the slot could not be written", details=f"{self.path}: {error.strerror}",
                resolution="it is tried again; if this repeats, the storage is failing or full", retryable=True,
            ) from error  # fmt: skip

    def _flushed(self) -> bool:
        """Flushes the device and drops its cache; False: that needs CAP_SYS_ADMIN (block/ioctl.c)."""
        try:
            fcntl.ioctl(self.fd, _BLKFLSBUF)
        except PermissionError:
            return False
        return True


@contextmanager
def claimed(slot: Slot, *, booted: Sequence[str], size: int) -> Iterator[Claim]:
    """Keeps a slot for programs that we start, after everything that forbids writing to it was ruled out.

    Args:
        slot: a block device or file.
        booted: the devices of the booted group, as configured.
        size: the bytes that it must have room for.

    Raises:
        SlotError: as ``slots.device.open_target``.
    """
    with open_target(slot, booted=booted, size=size) as target:
        lock(target.fd, target.path)
        path, capacity, identity = target.path, target.capacity, Identity.of(os.fstat(target.fd))
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        lock(fd, path)
        if Identity.of(os.fstat(fd)) != identity:
            raise SlotError("slot.changed", f"slot {slot.name} became another device while it was opened", details=path)
        yield Claim(fd, path, capacity)
    finally:
        os.close(fd)


def lock(fd: int, path: str) -> None:
    """Takes the exclusive lock of an open device or file; waits for a few seconds.

    Raises:
        SlotError: ``slot.busy``.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline:
                raise SlotError(
                    "slot.busy", "another process is writing to the slot", details=path, retryable=True
                ) from error
            time.sleep(0.1)
        else:
            return
