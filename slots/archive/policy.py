"""What of an archive may be unpacked: every member becomes a checked value, or the archive is refused. Pure.

1. A path is relative, has no ``..``, and is no longer than what a program can open.
2. A member is a file, a directory, a symbolic or hard link, or a FIFO; a device node only where that is allowed.
3. A relative symbolic link does not lead above the top. An absolute one starts at the top of the system that is booted
   from the slot. None is ever followed while unpacking; a path that leads through one is refused there.
4. A hard link names an earlier member.
5. Owners, modes and times are in the range of the file systems. Names of users and groups mean nothing.
6. Extended attributes are kept; access control lists, which come as text, are refused rather than lost.
7. There are not too many members, and they have room: the sizes of all files, holes included, are within the slot's.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from slots.errors import SlotError

Kind = Literal["file", "directory", "symlink", "hardlink", "fifo", "char", "block"]

MAX_MEMBERS = 200_000  # each costs some 600 bytes of memory until the medium was compared with it
MAX_PATH = 4000  # bytes; PATH_MAX is 4096 with the final zero
MAX_NAME = 255  # bytes; NAME_MAX
MAX_XATTR = 64 * 1024  # bytes; XATTR_SIZE_MAX
_MAX_KEY = 255  # bytes; XATTR_NAME_MAX
_MAX_ID = 2**32 - 2  # the last one means "unchanged" to chown(2)
_TIMES = range(-(2**31), 2**34 - 2**31)  # seconds; what an inode of 256 bytes of ext4 can hold
_XATTR, _ACL, _SELINUX = "SCHILY.xattr.", "SCHILY.acl.", "RHT.security.selinux"
_MTIME = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]*))?")
_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.CONTTYPE: "file", tarfile.GNUTYPE_SPARSE: "file",
    tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink",
    tarfile.FIFOTYPE: "fifo", tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """One member that may be unpacked.

    Attributes:
        path: the components of its path; empty for the top directory itself.
        kind: what it is.
        mode: permission bits, with set-user-ID, set-group-ID and sticky.
        uid: the owner's number.
        gid: the group's number.
        mtime: nanoseconds since the epoch.
        size: bytes of a file, holes included.
        sparse: the file has holes.
        target: where a symbolic link leads.
        source: the path of the member that a hard link is another name of.
        device: major and minor number of a device node.
        xattrs: extended attributes.
    """

    path: tuple[bytes, ...]
    kind: Kind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    sparse: bool = False
    target: bytes = b""
    source: tuple[bytes, ...] = ()
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()

    @property
    def name(self) -> str:
        """The path for messages."""
        return shown(self.path)


@dataclass(slots=True)
class Policy:
    """Judges the members of one archive, one after the other.

    Args:
        room: bytes that all files together may have.
        allow_devices: device nodes are allowed.
        plain: the file system holds nothing but files and directories, and neither owners nor modes, as FAT.
    """

    room: int
    allow_devices: bool = False
    plain: bool = False
    members: int = field(default=0)
    size: int = field(default=0)

    def judge(self, info: tarfile.TarInfo) -> Member:
        """Makes a checked value of a header.

        Raises:
            SlotError: ``slot.archive-refused``.
        """
        path = self._path(info.name, "its path")  # 1
        self.members += 1  # 7
        if self.members > MAX_MEMBERS:
            raise refused(path, f"there are more than {MAX_MEMBERS} members")
        kind = self._kind(path, info)  # 2
        for what, number in (("owner", info.uid), ("group", info.gid)):  # 5
            if not 0 <= number <= _MAX_ID:
                raise refused(path, f"its {what} has the number {number}")
        member = Member(
            path, kind, mode=info.mode & 0o7777, uid=info.uid, gid=info.gid, mtime=_mtime(path, info),
            xattrs=() if self.plain else tuple(_xattrs(path, info)),
        )  # fmt: skip
        if kind == "file":
            return self._file(member, info)
        if kind == "symlink":
            return replace(member, mode=0o777, target=_target(path, info.linkname))
        if kind == "hardlink":
            return replace(member, source=self._path(info.linkname, "the path of its link"))
        if kind in ("char", "block"):
            if not (0 <= info.devmajor < 1 << 12 and 0 <= info.devminor < 1 << 20):  # linux/kdev_t.h
                raise refused(path, f"it is device {info.devmajor}:{info.devminor}, which there is not")
            return replace(member, device=(info.devmajor, info.devminor))
        return member

    def _kind(self, path: tuple[bytes, ...], info: tarfile.TarInfo) -> Kind:
        kind = _KINDS.get(info.type)
        if kind is None:
            raise refused(path, f"it is of the unknown type {info.type!r}")
        if kind in ("char", "block") and not self.allow_devices:
            raise refused(path, "it is a device node, which allow-devices would let pass")
        if self.plain and kind not in ("file", "directory"):
            raise refused(path, f"it is a {kind}, which the slot's file system cannot hold")
        if not path and kind != "directory":
            raise refused(path, "the top of an archive must be a directory")
        return kind

    def _file(self, member: Member, info: tarfile.TarInfo) -> Member:
        self.size += max(0, info.size)
        if info.size < 0 or self.size > self.room:  # 7
            raise refused(member.path, f"with its {info.size} bytes, the files have more than the slot's {self.room}")
        return replace(member, size=info.size, sparse=info.issparse())

    def _path(self, name: str, what: str) -> tuple[bytes, ...]:
        text = name.encode("utf-8", "surrogateescape")
        parts = tuple(part for part in text.split(b"/") if part not in (b"", b"."))
        if text.startswith(b"/") or b".." in parts or b"\0" in text:
            raise refused(parts, f"{what} leads out of the slot: {name[:200]!r}")
        if len(text) > MAX_PATH or any(len(part) > MAX_NAME for part in parts):
            raise refused(parts, f"{what} is too long")
        return parts


def refused(path: tuple[bytes, ...], why: str) -> SlotError:
    """The refusal of an archive because of one member."""
    return SlotError(
        "slot.archive-refused", "the archive holds what may not be unpacked", details=f"{shown(path)}: {why}",
        resolution="build the archive without it; docs/slots.md says what may be in one",
    )  # fmt: skip


def shown(path: tuple[bytes, ...]) -> str:
    """A path for messages: printable and short."""
    text = (b"/".join(path) or b".").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def _target(path: tuple[bytes, ...], linkname: str) -> bytes:
    target = linkname.encode("utf-8", "surrogateescape")
    if not target or len(target) > MAX_PATH or b"\0" in target:
        raise refused(path, "it is a link that leads nowhere")
    depth = len(path) - 1
    for part in target.split(b"/") if not target.startswith(b"/") else ():  # 3
        depth += -1 if part == b".." else 0 if part in (b"", b".") else 1
        if depth < 0:
            raise refused(path, f"it is a link that leads out of the slot: {linkname[:200]!r}")
    return target


def _mtime(path: tuple[bytes, ...], info: tarfile.TarInfo) -> int:
    """Exact to the nanosecond; tarfile makes a float of it, which is not."""
    text = info.pax_headers.get("mtime")  # where it is given, the other one may be infinite or no number at all
    match = _MTIME.fullmatch(str(int(info.mtime)) if text is None else text)
    if match is None:
        raise refused(path, "it has a time that is no number")
    sign, whole, fraction = match.groups()
    value = int(whole) * 10**9 + int((fraction or "").ljust(9, "0")[:9])
    value = -value if sign else value
    if value // 10**9 not in _TIMES:
        raise refused(path, f"it has a time that no file system can hold: {match.group()}")
    return value


def _xattrs(path: tuple[bytes, ...], info: tarfile.TarInfo) -> Iterator[tuple[str, bytes]]:
    for key, text in info.pax_headers.items():
        value = text.encode("utf-8", "surrogateescape")
        if key.startswith(_ACL) and text:  # 6
            raise refused(path, "it has an access control list; make the archive without --acls")
        if key == _SELINUX:
            yield "security.selinux", value + b"\0"  # setfilecon(3) counts the final zero
        if key.startswith(_XATTR):
            name = key.removeprefix(_XATTR)
            if "\0" in name or not 0 < len(name.encode("utf-8", "surrogateescape")) <= _MAX_KEY:
                raise refused(path, "it has an extended attribute whose name is none")
            if len(value) > MAX_XATTR:
                raise refused(path, f"it has an extended attribute of {len(value)} bytes")
            yield name, value
