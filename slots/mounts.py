"""Mounts that nobody else sees: a file system with no place in the tree, held by a descriptor.

The new mount interface (fsopen(2), fsconfig(2), fsmount(2); Linux 5.2) needs neither a mount point nor a namespace, and
the kernel unmounts when the last descriptor is closed, whatever becomes of the process. The same system calls of the
three answer, without touching any device, whether the kernel has the file system and whether we may mount at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from slots.errors import SlotError

# The numbers are the same on all architectures but Alpha and MIPS, where the wrappers of glibc 2.36 are needed.
_NUMBERS = {"fsopen": 430, "fsconfig": 431, "fsmount": 432}
_CLOEXEC = 1  # linux/mount.h: FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6  # enum fsconfig_command
_SAFE = 0x2 | 0x4 | 0x8  # MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC
# What mount(8) takes for an option of the file system is one of the mount.
_ATTRIBUTES = {
    "noatime": 0x10, "strictatime": 0x20, "nodiratime": 0x80, "relatime": 0,
    "nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "suid": 0, "dev": 0, "exec": 0, "rw": 0, "defaults": 0,
}  # fmt: skip
_libc = ctypes.CDLL(None, use_errno=True)


def require_support(kind: str, options: str = "") -> None:
    """Makes sure that a file system could be mounted; the kernel loads its module if it has one.

    Args:
        kind: of the file system, as the kernel calls it.
        options: those that the file system does not know are found, where it reads them before it sees a device.

    Raises:
        SlotError: ``slot.kernel-support``, ``slot.mount-forbidden``, ``slot.mount-failed``.
    """
    context = _context(kind)
    try:
        _give(context, f"any {kind}", kind, options)
    finally:
        os.close(context)


@contextmanager
def mounted(source: str, kind: str, *, options: str = "", readonly: bool = False) -> Iterator[int]:
    """Mounts a file system, and leaves only after everything is on the medium.

    Set-user-ID bits, device nodes and programs on it have no effect.

    Args:
        source: what to mount, as the file system calls it; mostly a block device.
        kind: of the file system, as the kernel calls it.
        options: separated by commas, as for mount(8).
        readonly: nothing can be written; a journal is still replayed.

    Yields:
        A descriptor of its top directory. The mount lives until every descriptor that was opened below is closed.

    Raises:
        SlotError: ``slot.kernel-support``, ``slot.mount-forbidden``, ``slot.mount-failed``, ``slot.write-failed``.
    """
    mount = _mount(source, kind, options, readonly)
    try:
        top = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
    finally:
        os.close(mount)
    try:
        yield top
        if not readonly and _libc.syncfs(top) != 0:
            raise SlotError(
                "slot.write-failed", "the slot could not be written", details=f"{source}: syncfs: {_reason()}",
                resolution="it is tried again; if this repeats, the storage is failing or full", retryable=True,
            )  # fmt: skip
    finally:
        os.close(top)


def _mount(source: str, kind: str, options: str, readonly: bool) -> int:
    context = _context(kind)
    try:
        _configure(context, source, kind, _SET_STRING, "source", source)
        attributes = _give(context, source, kind, options)
        if readonly:
            _configure(context, source, kind, _SET_FLAG, "ro", None)
        _configure(context, source, kind, _CREATE, None, None)
        fd = _call("fsmount", context, _CLOEXEC, attributes)
        if fd < 0:
            raise _failed(context, source, kind, "fsmount")
        return fd
    finally:
        os.close(context)


def _give(context: int, source: str, kind: str, options: str) -> int:
    """Hands the options over; those that are the mount's and not the file system's are returned as its attributes."""
    attributes = _SAFE
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if key in _ATTRIBUTES and not equals:
            attributes |= _ATTRIBUTES[key]
        elif equals:
            _configure(context, source, kind, _SET_STRING, key, value)
        else:
            _configure(context, source, kind, _SET_FLAG, key, None)
    return attributes


def _configure(context: int, source: str, kind: str, command: int, key: str | None, value: str | None) -> None:
    texts = (None if key is None else key.encode(), None if value is None else value.encode())
    if _call("fsconfig", context, command, *texts, 0) != 0:
        raise _failed(context, source, kind, key or "")


def _context(kind: str) -> int:
    fd = _call("fsopen", kind.encode(), _CLOEXEC)
    if fd >= 0:
        return fd
    number = ctypes.get_errno()
    if number in (errno.EPERM, errno.EACCES):
        raise SlotError(
            "slot.mount-forbidden", "file systems cannot be mounted here", details=f"{kind}: {os.strerror(number)}",
            resolution="run the agent as root, with the drop-in ota-agent-archives.conf for its service (docs/slots.md)",
        )  # fmt: skip
    raise SlotError(
        "slot.kernel-support", "the running kernel has no support for the file system of the slot",
        details=f"{kind}: {os.strerror(number)}" + (" (Linux 5.2 is needed)" if number == errno.ENOSYS else ""),
        resolution="build the kernel with it, or deploy an image of the whole file system instead of an archive",
    )  # fmt: skip


def _failed(context: int, source: str, kind: str, option: str) -> SlotError:
    number = ctypes.get_errno()
    said = b""
    with contextlib.suppress(OSError):  # ENODATA: the file system has logged nothing
        said = os.read(context, 512)
    text = said[2:].decode("utf-8", "replace").strip() if said else ""  # "e ", "w " or "i " stand before it
    words = [f"{source} as {kind}", *([option] if option else []), os.strerror(number), *([text] if text else [])]
    return SlotError(
        "slot.mount-failed", "the slot cannot be mounted", details=": ".join(words),
        resolution="check the slot's extra-mount-opts; the kernel's log may say more",
        retryable=number in (errno.EBUSY, errno.EIO),
    )  # fmt: skip


def _call(name: str, *arguments: object) -> int:
    wrapper = getattr(_libc, name, None)
    if wrapper is not None:
        return int(wrapper(*arguments))
    if platform.machine().startswith(("mips", "alpha")):
        ctypes.set_errno(errno.ENOSYS)
        return -1
    return int(_libc.syscall(_NUMBERS[name], *arguments))


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
