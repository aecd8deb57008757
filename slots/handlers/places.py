"""Where a file system can be made: on a block device, in a UBI volume, on flash memory. How each is kept for us meanwhile."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from slots import mtd, ubi_volume
from slots.claim import Claim, claimed, lock
from slots.device import capacity, examine, require_room, resolve
from slots.errors import SlotError
from slots.handlers.table import handler_for
from slots.model import Slot
from slots.refusals import running
from slots.usage import Identity

_MTD = re.compile(r"/dev/mtd(?:block)?([0-9]+)")


@dataclass(frozen=True, slots=True)
class Site:
    """A slot that is kept for us.

    Attributes:
        path: what programs open.
        source: what is mounted.
        room: bytes that files may have together, before compression.
        keep: descriptors that programs inherit.
        claim: the lock of a block device.
    """

    path: str
    source: str
    room: int
    keep: tuple[int, ...] = ()
    claim: Claim | None = None

    def forget_cached(self) -> None:
        """Makes the kernel read the medium again; flash has no cache below its file systems."""
        if self.claim is not None:
            self.claim.forget_cached()


class Place(Protocol):
    """A kind of device."""

    def preflight(self, slot: Slot, size: int) -> None:
        """Rules out whatever forbids making a file system there, without touching it; raises SlotError."""

    def kept(self, slot: Slot, *, booted: Sequence[str], size: int) -> AbstractContextManager[Site]:
        """Keeps the slot for us, after the same was ruled out once more; raises SlotError."""


class BlockDevice:
    """A partition, or a whole disk."""

    def preflight(self, slot: Slot, size: int) -> None:
        """See Place; raises SlotError also with ``slot.not-storage``."""
        path, status = examine(slot, booted=())
        if not stat.S_ISBLK(status.st_mode):
            raise SlotError(
                "slot.not-storage", "a file system can only be made on a block device", details=path,
                resolution="give the slot a block device, or deploy an image of the whole file system",
            )  # fmt: skip
        require_room(slot, size, capacity(path))

    @contextmanager
    def kept(self, slot: Slot, *, booted: Sequence[str], size: int) -> Iterator[Site]:
        """See Place."""
        self.preflight(slot, size)
        with claimed(slot, booted=booted, size=size) as claim:
            yield Site(claim.path, claim.path, claim.capacity, (claim.fd,), claim)


class Flash:
    """A UBI volume (``ubifs``), or bare flash memory (``jffs2``); what forbids using it is told by the handler of images.

    Their file systems compress: how much fits is not known before it is there. An archive larger than the flash may fit.

    Args:
        most: bytes that files may have together.
    """

    def __init__(self, most: int = 1 << 40) -> None:
        self._most = most

    def preflight(self, slot: Slot, size: int) -> None:
        """See Place; ``size`` says nothing."""
        handler_for(slot.type, "raw").preflight(slot, "raw", 0)

    @contextmanager
    def kept(self, slot: Slot, *, booted: Sequence[str], size: int) -> Iterator[Site]:
        """See Place. mkfs.ubifs and the mount want a volume exclusively, and get it only so: no descriptor is kept open."""
        self.preflight(slot, size)
        path = resolve(slot.device)
        for device in booted:
            if _same(device, path):
                raise running(slot, f"{path} is {device}")
        memory = _MTD.fullmatch(path)
        if memory is None:
            yield Site(path, path, self._most)
            return
        # JFFS2 is mounted by the number of the memory (drivers/mtd/mtdsuper.c), and erased through its character device.
        node, source = f"/dev/mtd{memory[1]}", f"mtd{memory[1]}"
        fd = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        try:
            lock(fd, node)
            yield Site(node, source, self._most, (fd,))
        finally:
            os.close(fd)


def _same(one: str, other: str) -> bool:
    """Whether two paths lead to the same flash, be it by a character device or by the block device over it."""
    return any(
        (found := of(one)) is not None and found == of(other)
        for of in (Identity.at, mtd.number_of, ubi_volume.numbers_of)
    )
