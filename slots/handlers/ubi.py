"""Images into UBI volumes, for slots of type ``ubivol`` and ``ubifs``.

The kernel is told the size (``UBI_IOCVOLUP``), then given the bytes, like ``ubiupdatevol`` does. From the first moment until
the last byte the volume carries UBI's own mark of an unfinished update: after a cut it cannot be read, let alone mounted,
until it is written again (drivers/mtd/ubi/upd.c).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from slots import ioctls, ubi_volume
from slots.device import require_room, resolve
from slots.errors import SlotError
from slots.handlers.port import Content, Handler, Watch, Written
from slots.handlers.streams import CHUNK, chunks, differs, digest
from slots.model import Slot
from slots.refusals import readonly, require_unused, running
from slots.ubi_volume import Volume

START_UPDATE = ioctls.request("O", 0, 8, write=True, read=False)  # UBI_IOCVOLUP, mtd/ubi-user.h; a signed 64-bit size


class Access(Protocol):
    """An open volume. All of it raises OSError."""

    def start_update(self, size: int) -> None:
        """Tells the kernel how many bytes are going to come; 0 empties the volume."""

    def write(self, data: bytes) -> int:
        """Goes on with the update, returns how many bytes were taken."""

    def read(self, length: int) -> bytes:
        """What follows in the volume."""


class Opener(Protocol):
    """How a volume becomes an Access: ``open_volume``."""

    def __call__(self, path: str, *, writable: bool) -> AbstractContextManager[Access]:
        """See ``open_volume``."""


class _CharacterDevice:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def start_update(self, size: int) -> None:
        fcntl.ioctl(self._fd, START_UPDATE, struct.pack("=q", size))

    def write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def read(self, length: int) -> bytes:
        return os.read(self._fd, length)


@contextmanager
def open_volume(path: str, *, writable: bool) -> Iterator[Access]:
    """Opens the character device of a volume; raises OSError, EBUSY when somebody else writes to it."""
    fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        yield _CharacterDevice(fd)
    finally:
        os.close(fd)


class UbiVolume:
    """Updates a volume and reads it back.

    Args:
        sysfs: where sysfs is mounted.
        proc: where procfs is mounted.
        opener: how a volume is opened.
    """

    def __init__(self, *, sysfs: str = "/sys", proc: str = "/proc", opener: Opener = open_volume) -> None:
        self._sysfs, self._proc, self._open = sysfs, proc, opener

    @property
    def resumable(self) -> bool:
        """See Handler."""
        return False

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        """See Handler.

        Raises:
            SlotError: ``slot.readonly``, ``slot.missing``, ``slot.device-ambiguous``, ``slot.ubi-volume``,
                ``slot.unreadable``, ``slot.mounted``, ``slot.usage-unknown``, ``slot.too-small``.
        """
        self._examined(slot, size, ())

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        """See Handler.

        Raises:
            SlotError: also ``slot.booted``, ``slot.busy``, ``slot.open-failed``, ``slot.write-failed``,
                ``slot.read-failed``, ``slot.read-back``, ``slot.size-mismatch``.
        """
        if start:
            raise ValueError("a UBI volume is emptied before it is written, so it is written from its start")
        path, volume = self._examined(slot, content.size, booted)
        since = time.monotonic()
        if not slot.install_same and self._holds(path, volume, content, watch):
            return Written(content.sha256, 0, content.size, time.monotonic() - since)
        with ExitStack() as stack:
            try:
                access = stack.enter_context(self._open(path, writable=True))
            except OSError as error:
                raise _not_opened(slot, path, error) from error
            _update(slot, path, access, content, watch)
        since = time.monotonic()
        found = digest(self._read(path, content.size), watch.checked)
        seconds = time.monotonic() - since
        if found != content.sha256:
            raise differs(slot.name, found, content.sha256)
        return Written(found, content.size, 0, seconds)

    def _holds(self, path: str, volume: Volume, content: Content, watch: Watch) -> bool:
        if volume.unfinished or volume.corrupted or (volume.static and volume.data_bytes != content.size):
            return False
        return digest(self._read(path, content.size), watch.checked) == content.sha256

    def _examined(self, slot: Slot, size: int, booted: Sequence[str]) -> tuple[str, Volume]:
        """The volume of the slot, after everything that forbids writing to it was ruled out."""
        path = resolve(slot.device)
        if slot.readonly:
            raise readonly(slot, "the configuration says so")
        volume = self._look(path)
        if volume is None:
            raise SlotError(
                "slot.ubi-volume", f"the device of slot {slot.name} is no UBI volume", details=path,
                resolution="correct the slot's device; volumes are /dev/ubiX_Y, made by ubimkvol",
            )  # fmt: skip
        for device in booted:
            booted_volume = ubi_volume.numbers_of(device, sysfs=self._sysfs) if device.startswith("/") else None
            if booted_volume == (volume.ubi, volume.number):
                raise running(slot, f"{path} is {device}")
        require_unused(slot, path, lambda: ubi_volume.user(volume, proc=self._proc, sysfs=self._sysfs))
        require_room(slot, size, volume.room)
        return path, volume

    def _look(self, path: str) -> Volume | None:
        try:
            return ubi_volume.look_at(path, sysfs=self._sysfs)
        except (OSError, ValueError) as error:
            raise SlotError(
                "slot.unreadable", "the device of a slot cannot be opened", details=f"{path}: {error}", retryable=True
            ) from error

    def _read(self, path: str, size: int) -> Iterator[bytes]:
        """What the volume gives back, after UBI itself has said that it is whole."""
        volume = self._look(path)
        if volume is None or volume.unfinished or volume.corrupted:
            raise _unread(path, 0, size, "UBI says that the volume is damaged")
        if volume.static and volume.data_bytes != size:
            raise _unread(path, 0, size, f"UBI says that the volume holds {volume.data_bytes} bytes")
        done = 0
        try:
            with self._open(path, writable=False) as access:
                while done < size:
                    piece = access.read(min(CHUNK, size - done))
                    if not piece:
                        raise OSError(errno.EIO, "it ends there")
                    yield piece
                    done += len(piece)
        except OSError as error:
            raise _unread(path, done, size, error.strerror or str(error)) from error


def _update(slot: Slot, path: str, access: Access, content: Content, watch: Watch) -> None:
    stream, done = chunks(content.pieces(0), content.size), 0
    chunk = next(stream, b"")  # before the volume is emptied: whatever the source says first is said in time
    try:
        access.start_update(content.size)
    except OSError as error:
        if error.errno == errno.EBUSY:  # somebody reads the volume
            raise _not_opened(slot, path, error) from error
        raise _unwritten(path, 0, content.size, error.strerror or str(error)) from error
    while chunk:
        try:
            count = access.write(chunk)
        except OSError as error:
            raise _unwritten(path, done, content.size, error.strerror or str(error)) from error
        if count <= 0:
            raise _unwritten(path, done, content.size, "the volume took no bytes")
        done, chunk = done + count, chunk[count:]
        watch.wrote(done)
        chunk = chunk or next(stream, b"")


def _not_opened(slot: Slot, path: str, error: OSError) -> SlotError:
    details = f"{path}: {error.strerror}"
    if error.errno == errno.EBUSY:
        return SlotError(
            "slot.busy", f"another process uses slot {slot.name}", details=details, retryable=True,
            resolution="find out with fuser what uses it",
        )  # fmt: skip
    return SlotError("slot.open-failed", f"slot {slot.name} cannot be opened", details=details, retryable=True)


def _unwritten(path: str, offset: int, size: int, reason: str) -> SlotError:
    return SlotError(
        "slot.write-failed", "the slot could not be written", details=f"{path}, offset {offset} of {size}: {reason}",
        resolution="it is tried again; if this repeats, the flash memory is failing", retryable=True,
    )  # fmt: skip


def _unread(path: str, offset: int, size: int, reason: str) -> SlotError:
    return SlotError(
        "slot.read-failed", "the slot could not be read back", details=f"{path}, offset {offset} of {size}: {reason}",
        resolution="it is tried again; if this repeats, the flash memory is failing", retryable=True,
    )  # fmt: skip


def handler(slot_type: str) -> Handler:
    """The handler for ``ubivol`` and ``ubifs``."""
    if slot_type not in ("ubivol", "ubifs"):
        raise ValueError(slot_type)
    return UbiVolume()
