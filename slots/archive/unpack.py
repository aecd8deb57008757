"""Unpacks an archive into a mounted file system, as root, without following any link.

Every path is walked from the top, one component at a time, with O_NOFOLLOW; every file is made with O_EXCL. What a member
says about owner, mode, attributes and time is set on the open file; for directories at the end, when nothing comes into
them any more.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator

from slots.archive.decode import invalid
from slots.archive.listing import Listing
from slots.archive.policy import Member, Policy, refused, shown
from slots.archive.stream import Stream
from slots.errors import SlotError

_PIECE = 256 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORMATS = {"char": stat.S_IFCHR, "block": stat.S_IFBLK}


def unpack(stream: Stream, top: int, policy: Policy) -> tuple[Listing, str]:
    """Unpacks all members.

    Args:
        stream: the archive.
        top: a descriptor of the top directory, empty but for ``lost+found``.
        policy: what may be unpacked.

    Returns:
        What the archive said, and the SHA-256 of the archive as it was given.

    Raises:
        SlotError: ``slot.archive-invalid``, ``slot.archive-refused``, ``slot.archive-decoder``, ``slot.full``,
            ``slot.write-failed``.
    """
    work = _Unpacking(stream, top, policy)
    try:
        for archive, info in headers(stream):
            member = policy.judge(info)
            try:
                work.put(member, archive, info)
            except OSError as error:
                raise _failed(member, error) from error
            except tarfile.TarError as error:  # of a sparse member, whose content tarfile reads
                raise invalid(f"{member.name}: {error}") from error
        work.finish()
    finally:
        work.close()
    return work.listing, stream.finish()


def headers(stream: Stream) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The headers, in their order; none is kept, whatever their number.

    Raises:
        SlotError: ``slot.archive-invalid``, ``slot.archive-refused``, ``slot.archive-decoder``.
    """
    try:
        archive = tarfile.TarFile(
            fileobj=stream,  # type: ignore[arg-type]  # only read, tell and seek are used
            mode="r", encoding="utf-8", errors="surrogateescape",
        )  # fmt: skip
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # where it keeps them
            yield archive, info
    except (tarfile.TarError, ValueError, RecursionError) as error:  # long names of long names lead deep
        raise invalid(str(error)) from error


class _Unpacking:
    def __init__(self, stream: Stream, top: int, policy: Policy) -> None:
        self._stream, self._top, self._policy = stream, top, policy
        self.listing = Listing()
        self._parent: tuple[tuple[bytes, ...], int] | None = None  # the directory that was opened last
        self._directories: dict[tuple[bytes, ...], Member] = {}

    def put(self, member: Member, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        """Makes one member.

        Raises:
            OSError: the file system refuses.
            SlotError: ``slot.archive-refused``, ``slot.archive-invalid``.
        """
        if member.kind == "directory":
            self._directory(member)
            return
        parent, name = self._open(member.path[:-1], member), member.path[-1]
        if member.path in self.listing.members:
            raise refused(member.path, "it is there twice")
        if member.kind == "file":
            self._file(member, (archive, info), parent, name)
        elif member.kind == "hardlink":
            self._link(member, parent, name)
        else:
            self._node(member, parent, name)

    def finish(self) -> None:
        """Gives the directories what they are said to have, the deepest first."""
        for path in sorted(self._directories, key=len, reverse=True):
            member = self._directories[path]
            try:
                self._dress(self._open(path, member), member)
            except OSError as error:
                raise _failed(member, error) from error

    def close(self) -> None:
        """Closes what is open below the top."""
        known, self._parent = self._parent, None
        if known is not None and known[1] != self._top:
            os.close(known[1])

    def _directory(self, member: Member) -> None:
        if member.path:
            parent = self._open(member.path[:-1], member)
            self._make_directory(parent, member.path[-1], member)
        self._directories[member.path] = member
        self.listing.add(member)

    def _make_directory(self, parent: int, name: bytes, member: Member) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise refused(member.path, "something else is there already") from None

    def _open(self, path: tuple[bytes, ...], member: Member) -> int:
        """Opens a directory; one that the archive does not mention is made, as by every tar."""
        if self._parent is not None and self._parent[0] == path:
            return self._parent[1]
        fd = self._top
        for depth, name in enumerate(path, 1):
            here = path[:depth]
            try:
                if here not in self.listing.members:
                    self._make_directory(fd, name, member)
                    self._directories[here] = Member(here, "directory", mtime=member.mtime)
                    self.listing.add(self._directories[here])
                below = os.open(name, _DIRECTORY, dir_fd=fd)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise refused(member.path, f"{shown(here)} on its way is no directory") from error
                raise
            finally:
                if fd != self._top:
                    os.close(fd)
            fd = below
        self.close()
        self._parent = (path, fd)
        return fd

    def _file(self, member: Member, header: tuple[tarfile.TarFile, tarfile.TarInfo], parent: int, name: bytes) -> None:
        fd = os.open(name, _FILE, 0o600, dir_fd=parent)
        try:
            digest = _sparse(fd, member, *header) if member.sparse else self._content(fd, member)
            self._dress(fd, member)
        finally:
            os.close(fd)
        self.listing.add(member, digest)

    def _content(self, fd: int, member: Member) -> bytes:
        digest, done = hashlib.sha256(), 0
        for piece in self._stream.take(member.size):
            digest.update(piece)
            done += _write(fd, piece)
        if done != member.size:
            raise invalid(f"it ends within {member.name}")
        return digest.digest()

    def _link(self, member: Member, parent: int, name: bytes) -> None:
        source = self.listing.members.get(member.source)
        if source is None or source.kind == "directory":
            raise refused(member.path, f"it links to {shown(member.source)}, which is no earlier member")
        # The parent is kept open here: opening the other one closes what was opened last.
        here = os.dup(parent)
        try:
            there = self._open(member.source[:-1], member)
            os.link(member.source[-1], name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
        finally:
            os.close(here)
        self.listing.link(member)

    def _node(self, member: Member, parent: int, name: bytes) -> None:
        if member.kind == "symlink":
            os.symlink(member.target, name, dir_fd=parent)
        elif member.kind == "fifo":
            os.mkfifo(name, 0o600, dir_fd=parent)
        else:
            os.mknod(name, _FORMATS[member.kind] | 0o600, os.makedev(*member.device), dir_fd=parent)
        self._dress((parent, name), member)
        self.listing.add(member)

    def _dress(self, where: int | tuple[int, bytes], member: Member) -> None:
        """Owner before mode and attributes: chown(2) takes set-user-ID and capabilities away."""
        fd, name = where if isinstance(where, tuple) else (where, None)
        if self._policy.plain:
            os.utime(fd, ns=(member.mtime, member.mtime))
            return
        if name is None:
            os.fchown(fd, member.uid, member.gid)
            os.fchmod(fd, member.mode)
            for key, value in member.xattrs:
                os.setxattr(fd, key, value)
            os.utime(fd, ns=(member.mtime, member.mtime))
            return
        os.chown(name, member.uid, member.gid, dir_fd=fd, follow_symlinks=False)
        if member.kind != "symlink":
            os.chmod(name, member.mode, dir_fd=fd)
        for key, value in member.xattrs:
            os.setxattr(b"/proc/self/fd/%d/%s" % (fd, name), key, value, follow_symlinks=False)
        os.utime(name, ns=(member.mtime, member.mtime), dir_fd=fd, follow_symlinks=False)


def _sparse(fd: int, member: Member, archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    """Leaves out what is zero: holes stay holes."""
    source = archive.extractfile(info)
    if source is None:
        raise RuntimeError("a sparse member that is no file")
    digest, zeros, done = hashlib.sha256(), bytes(_PIECE), 0
    while done < member.size:
        piece = source.read(min(_PIECE, member.size - done))
        if not piece:
            raise invalid(f"it ends within {member.name}")
        digest.update(piece)
        if piece == zeros[: len(piece)]:
            os.lseek(fd, len(piece), os.SEEK_CUR)
        else:
            _write(fd, memoryview(piece))
        done += len(piece)
    os.ftruncate(fd, member.size)
    return digest.digest()


def _write(fd: int, piece: memoryview) -> int:
    rest = piece
    while rest:
        rest = rest[os.write(fd, rest) :]
    return len(piece)


def _failed(member: Member, error: OSError) -> SlotError:
    details = f"{member.name}: {error.strerror or error}"
    if error.errno in _FULL:
        return SlotError(
            "slot.full", "the content of the archive does not fit into the slot", details=details,
            resolution="build a smaller archive, or give the slot more room",
        )  # fmt: skip
    if error.errno in (errno.EEXIST, errno.ENOTSUP, errno.ENAMETOOLONG, errno.EINVAL, errno.EMLINK):
        return refused(member.path, f"the file system does not take it: {error.strerror}")
    return SlotError(
        "slot.write-failed", "the slot could not be written", details=details,
        resolution="it is tried again; if this repeats, the storage is failing or full", retryable=True,
    )  # fmt: skip
