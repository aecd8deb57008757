"""From the device of a slot to something that may be written to, or a refusal.

Before a byte can be written:

1. The slot is not read-only.
2. Its device exists, is a block device or a regular file, and is not write-protected.
3. It is not a device of the booted group, nor shares bytes with one.
4. Nothing uses it: no mount, swap, loop device, device mapper or RAID, on it, its partitions or the disk around it.
5. It is opened without following links, exclusively, and what was opened is what was looked at.
6. The image fits.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType

from slots import lookup
from slots.errors import SlotError
from slots.model import Slot
from slots.refusals import readonly, require_unused, running
from slots.usage import Identity, in_use, relatives, write_protected

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_GONE = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOTDIR, errno.ENOMEDIUM, errno.ELOOP)


@dataclass(slots=True)
class Target:
    """A slot that is open for writing by us alone. A context manager; leaving it closes the descriptor.

    Attributes:
        fd: open for reading and writing.
        path: the real path.
        capacity: in bytes.
        direct: whether ``fd`` bypasses the page cache (O_DIRECT); some file systems cannot.
        block: a block device, as opposed to a regular file.
    """

    fd: int
    path: str
    capacity: int
    direct: bool
    block: bool

    def close(self) -> None:
        """Closes the descriptor; may be called again."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def resolve(device: str) -> str:
    """Gives the real path of a device.

    Args:
        device: an absolute path, or ``partlabel:NAME``, ``partuuid:UUID``, ``uuid:UUID`` (of a file system). The images
            of two slots are often the same, and so are the UUIDs of their file systems: ``uuid:`` is for detection only.

    Raises:
        SlotError: ``slot.missing``, ``slot.device-ambiguous``.
    """
    kind, _, name = device.partition(":")
    if kind in lookup.KINDS:
        return lookup.find(kind, name)
    if not device.startswith("/") or "\0" in device:
        raise _missing(f"{device[:200]!r} is no absolute path")
    try:
        return os.path.realpath(device, strict=True)
    except OSError as error:
        raise _missing(str(error)) from error


def capacity(path: str) -> int:
    """The size in bytes of a block device, or of a regular file as it is now.

    Raises:
        SlotError: ``slot.missing``, ``slot.not-storage``, ``slot.unreadable``.
    """
    status = look(path)
    if not stat.S_ISBLK(status.st_mode):
        return status.st_size
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _GONE:
            raise _missing(f"{path}: {error.strerror}") from error
        raise SlotError("slot.unreadable", "the device of a slot cannot be opened", details=str(error)) from error
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def open_target(slot: Slot, *, booted: Sequence[str], size: int) -> Target:
    """Opens a slot for writing after everything that forbids it was ruled out.

    Args:
        slot: where the image goes.
        booted: the devices of the booted group, as configured.
        size: of the image, in bytes.

    Raises:
        SlotError: ``slot.readonly``, ``slot.missing``, ``slot.not-storage``, ``slot.device-ambiguous``,
            ``slot.booted``, ``slot.mounted``, ``slot.usage-unknown``, ``slot.busy``, ``slot.changed``,
            ``slot.too-small``.
    """
    path, status = examine(slot, booted=booted)  # 1 to 4
    identity = Identity.of(status)
    fd, direct = _open(slot, path)  # 5
    target = Target(fd, path, 0, direct, stat.S_ISBLK(status.st_mode))
    try:
        if Identity.of(os.fstat(fd)) != identity:
            raise SlotError("slot.changed", f"slot {slot.name} became another device while it was opened", details=path)
        target.capacity = os.lseek(fd, 0, os.SEEK_END)
        require_room(slot, size, target.capacity)  # 6
    except BaseException:
        target.close()
        raise
    return target


def examine(slot: Slot, *, booted: Sequence[str]) -> tuple[str, os.stat_result]:
    """Rules out whatever forbids writing to a slot without opening it: 1 to 4 of the list above.

    Returns:
        The real path, and what it is.

    Raises:
        SlotError: as ``open_target``, but for what only opening can tell.
    """
    if slot.readonly:  # 1
        raise readonly(slot, "the configuration says so")
    path = resolve(slot.device)  # 2
    status = look(path)
    identity = Identity.of(status)
    if write_protected(identity):
        raise readonly(slot, f"{path} is write-protected")
    require_not_running(slot, {identity, *relatives(identity)}, booted)  # 3
    require_unused(slot, path, lambda: in_use(identity))  # 4
    return path, status


def require_room(slot: Slot, size: int, room: int) -> None:
    """Refuses an image of ``size`` bytes for a slot of ``room`` bytes that it does not fit into.

    Raises:
        SlotError: ``slot.too-small``.
    """
    if size > room:
        raise SlotError(
            "slot.too-small", f"the image does not fit into slot {slot.name}",
            details=f"it has {size} bytes, the slot {room}",
            resolution="build a smaller image, or give the slot more room",
        )  # fmt: skip


def look(path: str) -> os.stat_result:
    """What is at the path of a slot.

    Raises:
        SlotError: ``slot.missing``, ``slot.not-storage``.
    """
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError as error:
        raise _missing(str(error)) from error
    if not stat.S_ISBLK(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise SlotError(
            "slot.not-storage", "the device of a slot is neither a block device nor a regular file", details=path,
            resolution="correct the slot's device in the configuration",
        )  # fmt: skip
    return status


def require_not_running(slot: Slot, forbidden: Collection[Identity], booted: Sequence[str]) -> None:
    """Refuses a slot that shares bytes with the running system.

    Args:
        slot: the slot.
        forbidden: everything that has bytes of it.
        booted: the devices of the booted group, as configured.

    Raises:
        SlotError: ``slot.booted``, ``slot.device-ambiguous``.
    """
    for device in booted:
        try:
            identity = Identity.at(resolve(device))
        except SlotError as error:
            if error.code != "slot.missing":
                raise
            continue  # what does not exist is not what we are about to write to
        if identity in forbidden:
            raise running(slot, f"{slot.device} is {device}")


def _open(slot: Slot, path: str) -> tuple[int, bool]:
    """Opens with O_DIRECT if that is possible. O_EXCL: open(2) defines it for block devices; files are not affected."""
    flags = os.O_RDWR | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            return os.open(path, flags | os.O_DIRECT), True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return os.open(path, flags), False
    except OSError as error:
        raise _explained(slot, path, error) from error


def _explained(slot: Slot, path: str, error: OSError) -> SlotError:
    details = f"{path}: {error.strerror}"
    if error.errno == errno.EBUSY:
        return SlotError(
            "slot.busy", f"another process uses slot {slot.name}", details=details, retryable=True,
            resolution="find out with lsblk and fuser what uses it",
        )  # fmt: skip
    if error.errno in _READ_ONLY:
        return readonly(slot, details)
    if error.errno in _GONE:
        return _missing(details)
    return SlotError("slot.open-failed", f"slot {slot.name} cannot be opened", details=details, retryable=True)


def _missing(details: str) -> SlotError:
    return SlotError(
        "slot.missing", "the device of a slot does not exist", details=details,
        resolution="check the partition table and the slot's device in the configuration",
    )  # fmt: skip
