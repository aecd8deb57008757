"""A disk of which only a part is written, while other parts of it run the system.

``slots.device.open_target`` demands the whole device for itself. Here that is impossible: the partition table and the
bootloader share the disk with what is mounted. Before a byte can be written:

1. The slot is not read-only, its device is a block device or a regular file and not write-protected.
2. The disk as a whole is not mounted, no swap, and not part of another device.
3. No partition that shares bytes with what is written is in use or belongs to the running group.
4. It is opened without following links, and what was opened is what was looked at.
5. It is locked: udev keeps away from a disk with an exclusive BSD lock (https://systemd.io/BLOCK_DEVICE_LOCKING).
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from slots.claim import lock
from slots.device import look, require_not_running, resolve
from slots.errors import SlotError
from slots.handlers.halves import Span
from slots.model import Slot
from slots.refusals import readonly, require_unused
from slots.usage import Identity, in_use, overlapping, own_user, write_protected

_BUFFER = 1024 * 1024  # bytes
_FILE_SECTOR = 512  # bytes: of a regular file, which stands for a disk


class Medium(Protocol):
    """A disk, by bytes. Every offset and length is a multiple of ``sector``."""

    @property
    def path(self) -> str:
        """What it is called in messages."""

    @property
    def sector(self) -> int:
        """Logical block size in bytes: what is written in one piece or not at all."""

    @property
    def size(self) -> int:
        """In bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """What the medium holds, not what a cache thinks; raises SlotError ``slot.read-failed``."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Gives data to the medium, in the order of the calls; raises SlotError ``slot.write-failed``."""

    def flush(self) -> None:
        """Returns when everything written is on the medium; raises SlotError ``slot.write-failed``."""


class Opener(Protocol):
    """How a slot becomes a Medium: ``open_disk``."""

    def __call__(
        self, slot: Slot, span: Span, *, booted: Sequence[str], writable: bool
    ) -> AbstractContextManager[Medium]:
        """See ``open_disk``."""


class Disk:
    """A real one. Block devices are read and written past the page cache, files through it."""

    def __init__(self, fd: int, path: str, sector: int, *, direct: bool) -> None:
        self.fd, self.path, self.sector, self._direct = fd, path, sector, direct
        self.size = os.lseek(fd, 0, os.SEEK_END)
        self._view = memoryview(mmap.mmap(-1, _BUFFER))  # aligned, as O_DIRECT demands (open(2), Notes)

    def read(self, offset: int, length: int) -> bytes:
        """See Medium."""
        self._drop_cached(offset)
        result = bytearray()
        while len(result) < length:
            room = self._view[: min(length - len(result), _BUFFER)]
            try:
                count = os.preadv(self.fd, [room], offset + len(result))
            except OSError as error:
                raise self._unread(offset + len(result), error.strerror or str(error)) from error
            if count <= 0:
                raise self._unread(offset + len(result), "it ends there")
            result += room[:count]
        return bytes(result)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """See Medium."""
        rest = memoryview(data)
        while rest:
            part = self._view[: min(len(rest), _BUFFER)]
            part[:] = rest[: len(part)]
            try:
                count = os.pwrite(self.fd, part, offset)
            except OSError as error:
                raise self._unwritten(offset, error.strerror or str(error)) from error
            if count <= 0:
                raise self._unwritten(offset, "the device took no bytes")
            offset, rest = offset + count, rest[count:]

    def flush(self) -> None:
        """See Medium."""
        try:
            os.fsync(self.fd)
        except OSError as error:
            raise self._unwritten(0, f"fsync: {error.strerror}") from error

    def _drop_cached(self, offset: int) -> None:
        """Clean pages leave the cache (posix_fadvise(2)), dirty ones become clean first."""
        if not self._direct:
            try:
                os.fsync(self.fd)
                os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
            except OSError as error:
                raise self._unread(offset, error.strerror or str(error)) from error

    def _unread(self, offset: int, reason: str) -> SlotError:
        return SlotError(
            "slot.read-failed", "the slot could not be read back", details=f"{self.path}, offset {offset}: {reason}",
            resolution="it is tried again; if this repeats, the storage is failing", retryable=True,
        )  # fmt: skip

    def _unwritten(self, offset: int, reason: str) -> SlotError:
        return SlotError(
            "slot.write-failed", "the slot could not be written", details=f"{self.path}, offset {offset}: {reason}",
            resolution="it is tried again; if this repeats, the storage is failing or full", retryable=True,
        )  # fmt: skip


@contextmanager
def open_disk(slot: Slot, span: Span, *, booted: Sequence[str], writable: bool) -> Iterator[Medium]:
    """Opens the disk of a slot, after everything that forbids writing to a part of it was ruled out.

    Args:
        slot: whose device is the disk.
        span: what is going to be written, besides the partition table.
        booted: the devices of the running group, as configured.
        writable: False only looks.

    Raises:
        SlotError: ``slot.readonly``, ``slot.missing``, ``slot.not-storage``, ``slot.device-ambiguous``, ``slot.booted``,
            ``slot.mounted``, ``slot.usage-unknown``, ``slot.changed``, ``slot.busy``, ``slot.open-failed``.
    """
    if slot.readonly:
        raise readonly(slot, "the configuration says so")
    path = resolve(slot.device)
    status = look(path)
    block = stat.S_ISBLK(status.st_mode)
    identity = Identity.of(status)
    if write_protected(identity):
        raise readonly(slot, f"{path} is write-protected")
    parts = tuple(overlapping(identity, span.start, span.size))
    require_unused(slot, f"{path}, {span}", lambda: own_user(identity) or next(filter(None, map(in_use, parts)), ""))
    require_not_running(slot, {identity, *parts}, booted)
    flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_DIRECT if block else 0)
    try:
        fd = os.open(path, flags)
    except OSError as error:
        raise SlotError(
            "slot.open-failed", f"slot {slot.name} cannot be opened", details=f"{path}: {error.strerror}",
            retryable=True,
        ) from error  # fmt: skip
    try:
        if Identity.of(os.fstat(fd)) != identity:
            raise SlotError("slot.changed", f"slot {slot.name} became another device while it was opened", details=path)
        if writable:
            lock(fd, path)
        yield Disk(fd, path, _sector(identity) if block else _FILE_SECTOR, direct=block)
    finally:
        os.close(fd)


@contextmanager
def only_read(path: str) -> Iterator[Medium]:
    """Opens a block device or file for reading, whoever uses it.

    Raises:
        SlotError: ``slot.missing``, ``slot.not-storage``, ``slot.unreadable``.
    """
    block = stat.S_ISBLK(look(path).st_mode)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_DIRECT if block else 0))
    except OSError as error:
        raise SlotError("slot.unreadable", "the device of a slot cannot be opened", details=str(error)) from error
    try:
        yield Disk(fd, path, _sector(Identity.of(os.fstat(fd))) if block else _FILE_SECTOR, direct=block)
    finally:
        os.close(fd)


def _sector(identity: Identity) -> int:
    """The logical block size; a partition has that of its disk. Documentation/ABI/stable/sysfs-block."""
    entry = Path(os.path.realpath(f"/sys/dev/block/{os.major(identity.rdev)}:{os.minor(identity.rdev)}"))
    disk = entry.parent if (entry / "partition").exists() else entry
    return int((disk / "queue/logical_block_size").read_text("ascii"))
