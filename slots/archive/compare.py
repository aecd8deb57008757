"""Does the medium hold what the archive said? Every file is read, and everything that is there must be in the archive.

The file system must have been mounted afresh, so that nothing is answered from what was written a moment ago.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator

from slots.archive.listing import Listing
from slots.archive.policy import Kind, Member, shown
from slots.errors import SlotError

_PIECE = 1024 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN = b"lost+found"  # mkfs.ext4 makes it
_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo", stat.S_IFCHR: "char", stat.S_IFBLK: "block",
}  # fmt: skip


def compare(listing: Listing, top: int, *, plain: bool, progress: Callable[[int], None]) -> None:
    """Compares a mounted file system with what an archive said.

    Args:
        listing: what the archive said.
        top: a descriptor of the top directory.
        plain: the file system keeps neither owners nor modes.
        progress: is told how many bytes of files were read.

    Raises:
        SlotError: ``slot.read-back`` with the first difference, ``slot.read-failed``.
    """
    _Comparison(listing, top, plain, progress).run()


class _Comparison:
    def __init__(self, listing: Listing, top: int, plain: bool, progress: Callable[[int], None]) -> None:
        self._listing, self._top, self._plain, self._progress = listing, top, plain, progress
        self._inodes: dict[tuple[bytes, ...], int] = {}
        self._done = 0

    def run(self) -> None:
        """Walks over everything that is there, then looks for what is not."""
        seen = 0
        for path, status, fd in self._everything():
            member = self._listing.members.get(path)
            if member is None:
                raise _differs(path, "it is not in the archive")
            seen += 1
            try:
                self._same(member, path, status, fd)
            except OSError as error:
                raise _unread(path, error) from error
        if seen < len(self._listing.members):
            raise _differs((), f"{len(self._listing.members) - seen} members of the archive are missing")
        for path, first in self._listing.links.items():
            if self._inodes.get(path) != self._inodes.get(first):
                raise _differs(path, f"it is not the same file as {shown(first)}")

    def _everything(self) -> Iterator[tuple[tuple[bytes, ...], os.stat_result, int]]:
        """Each path with what is there, and a descriptor of the directory that it is in."""
        waiting: list[tuple[bytes, ...]] = [()]
        while waiting:
            path = waiting.pop()
            try:
                fd = os.open(b"/".join(path) or b".", _DIRECTORY, dir_fd=self._top)
            except OSError as error:
                raise _unread(path, error) from error
            try:
                if not path and () in self._listing.members:
                    yield path, os.fstat(fd), fd
                for text in os.listdir(fd):
                    name = os.fsencode(text)
                    below = (*path, name)
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if below == (_OWN,) and below not in self._listing.members:
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(below)
                    yield below, status, fd
            except OSError as error:
                raise _unread(path, error) from error
            finally:
                os.close(fd)

    def _same(self, member: Member, path: tuple[bytes, ...], status: os.stat_result, fd: int) -> None:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind != member.kind:
            raise _differs(path, f"it is a {kind}, not a {member.kind}")
        self._inodes[path] = status.st_ino
        if not self._plain:
            self._same_attributes(member, path, status, fd)
        name = path[-1] if path else b"."
        if kind == "file":
            self._same_content(member, path, status, fd)
        elif kind == "symlink" and os.readlink(name, dir_fd=fd) != member.target:
            raise _differs(path, "it leads elsewhere")
        elif kind in ("char", "block") and status.st_rdev != os.makedev(*member.device):
            raise _differs(path, "it is another device")

    def _same_attributes(self, member: Member, path: tuple[bytes, ...], status: os.stat_result, fd: int) -> None:
        found = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_mtime_ns // 10**9)
        said = (member.uid, member.gid, member.mode, member.mtime // 10**9)  # JFFS2 keeps whole seconds
        if found != said:
            raise _differs(path, "owner, group, mode and time are {}:{} {:o} {}".format(*found))
        where = b"/proc/self/fd/%d/%s" % (fd, path[-1] if path else b"")
        for key, value in member.xattrs:
            if _attribute(where, key) != value:
                raise _differs(path, f"the extended attribute {key[:60]} has another value")

    def _same_content(self, member: Member, path: tuple[bytes, ...], status: os.stat_result, fd: int) -> None:
        if status.st_size != member.size:
            raise _differs(path, f"it has {status.st_size} bytes, not {member.size}")
        first = self._listing.links.get(path)
        if first is not None and self._inodes.get(first) == status.st_ino:
            return  # the same file, which was read under its first name
        digest, file = hashlib.sha256(), os.open(path[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            while piece := os.read(file, _PIECE):
                digest.update(piece)
                self._done += len(piece)
                self._progress(self._done)
        finally:
            os.close(file)
        if digest.digest() != self._listing.digests[member.path]:
            raise _differs(path, "it has another content")


def _attribute(where: bytes, key: str) -> bytes | None:
    try:
        return os.getxattr(where, key, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise


def _differs(path: tuple[bytes, ...], what: str) -> SlotError:
    return SlotError(
        "slot.read-back", "the slot does not hold what was written to it", details=f"{shown(path)}: {what}",
        resolution="it is written again from the start; if this repeats, the storage is failing", retryable=True,
    )  # fmt: skip


def _unread(path: tuple[bytes, ...], error: OSError) -> SlotError:
    return SlotError(
        "slot.read-failed", "the slot could not be read back", details=f"{shown(path)}: {error.strerror}",
        resolution="it is tried again; if this repeats, the storage is failing", retryable=True,
    )  # fmt: skip
