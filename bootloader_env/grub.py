"""The GRUB environment block in its file, shared with grub-editenv and with GRUB itself.

On a file system with atomic rename a change goes to a new file that replaces the old one. A FAT file system (the EFI
system partition) has no atomic rename: there the block is overwritten in its place with one write, as GRUB does it. The
block has no checksum; our variables are moved into its first sector, which is written as a whole or not at all.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress

from bootloader_env import grub_format as fmt
from bootloader_env.errors import BootEnvError, io_failed
from bootloader_env.lock import locked
from bootloader_env.order import Changes, Rules, Variables, effective
from bootloader_env.variables import Plan, VariableEnv

LOCK_TIMEOUT = 10.0  # seconds
_WITHOUT_ATOMIC_RENAME = frozenset({"vfat", "msdos", "exfat"})
_TEMPORARY = ".grubenv.new"


class GrubStore:
    """The variables of GRUB. Implements ``variables.Store``.

    Args:
        path: the environment block, ``/boot/grub/grubenv`` for example; a symbolic link is followed.
        in_place: overwrite the block instead of replacing the file; None decides by the kind of file system.
        mountinfo: the table of mounts.
        lock_timeout: seconds to wait for another process of ours; grub-editenv takes no lock.
    """

    def __init__(
        self,
        path: str,
        *,
        in_place: bool | None = None,
        mountinfo: str = "/proc/self/mountinfo",
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        self._path = path
        self._in_place = in_place
        self._mountinfo = mountinfo
        self._lock_timeout = lock_timeout

    def load(self) -> Variables:
        """See Store."""
        return fmt.variables(fmt.decode(_read(os.path.realpath(self._path))))

    def update(self, plan: Plan) -> bool:
        """See Store; raises BootEnvError ``bootenv.invalid``, ``bootenv.full``, ``bootenv.io``, ``bootenv.write-failed``.

        A block that GRUB reads, and cannot store into, is written even if nothing changes: no boot would be counted in it.
        """
        path = os.path.realpath(self._path)
        with locked(os.path.dirname(path), self._lock_timeout):
            old = _read(path)
            lines = fmt.decode(old)
            now = fmt.variables(lines)
            planned = plan(now)
            changes = effective(now, planned)
            if not changes and fmt.is_storable(old):
                return False
            in_place = self._decide(path)
            new = fmt.edited(lines, changes)
            block = fmt.encode(fmt.ahead(new, planned) if in_place else new, len(old))
            try:
                (_overwrite if in_place else _replace)(path, block)
            except OSError as error:
                raise io_failed("the GRUB environment block cannot be written", error) from error
            _check_stored(path, block)
            return True

    def recreate(self, variables: Changes) -> None:
        """Makes a new block in place of a missing or invalid one.

        GRUB's ``save_env`` fails for ever on a file that does not begin with the header, and cannot make one. On a file
        system without atomic rename the new block is written over the old file if it has the right size.

        Raises:
            BootEnvError: ``bootenv.io``, ``bootenv.write-failed``; ``bootenv.not-healed`` when the block turns out valid.
        """
        path = os.path.realpath(self._path)
        with locked(os.path.dirname(path), self._lock_timeout):
            size = _refuse_valid(path)
            block = fmt.encode(fmt.edited((), variables), size or fmt.SIZE)
            try:
                (_overwrite if size and self._decide(path) else _replace)(path, block)
            except OSError as error:
                raise io_failed("the GRUB environment block cannot be made", error) from error
            _check_stored(path, block)

    def _decide(self, path: str) -> bool:
        if self._in_place is not None:
            return self._in_place
        try:
            return filesystem(path, self._mountinfo) in _WITHOUT_ATOMIC_RENAME
        except OSError as error:
            raise io_failed("the table of mounts cannot be read", error) from error


class GrubEnv(VariableEnv):
    """The boot environment of GRUB, whose block we can make ourselves.

    Args:
        store: the block.
        rules: with ``order.GrubDialect``.
    """

    def __init__(self, store: GrubStore, rules: Rules) -> None:
        super().__init__(store, rules)
        self._block = store

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv; raises as ``GrubStore.recreate``."""
        self._block.recreate(self._rules.anew(bootname, good))
        return True


def _refuse_valid(path: str) -> int:
    """Returns the size of the file if a new block can be written over it, else 0."""
    try:
        raw = _read(path)
        fmt.decode(raw)
    except BootEnvError as error:
        if error.code == "bootenv.missing":
            return 0
        if error.code != "bootenv.invalid" or not os.path.isfile(path):
            raise
        size = os.stat(path).st_size
        return size if fmt.SIZE <= size <= fmt.MAX_SIZE else 0
    raise BootEnvError(
        "bootenv.not-healed", "the boot environment is valid and was not made anew", details=path,
        resolution="change it with the tools of the bootloader",
    )  # fmt: skip


def _check_stored(path: str, block: bytes) -> None:
    if _read(path) != block:
        raise BootEnvError(
            "bootenv.write-failed",
            "the GRUB environment block was not stored as it was written",
            details=path,
            resolution="check the file system",
            retryable=True,
        )


def filesystem(path: str, mountinfo: str) -> str:
    """Returns the type of the file system that holds an absolute path without symbolic links.

    Raises:
        BootEnvError: ``bootenv.io`` when the table of mounts does not tell.
    """
    best, kind = -1, ""
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split()
            if len(fields) < 10 or "-" not in fields[6:-3]:
                continue
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= best:  # of two mounts on one point the later hides the earlier
                best, kind = len(point), fields[fields.index("-", 6) + 1]
    if not kind:
        raise BootEnvError("bootenv.io", "the file system of the GRUB environment block is unknown", details=path)
    return kind


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise BootEnvError(
                    "bootenv.invalid", "the GRUB environment block is not valid", details=f"{path} is no regular file"
                )
            return os.pread(fd, fmt.MAX_SIZE + 1, 0)
        finally:
            os.close(fd)
    except FileNotFoundError as error:
        raise BootEnvError(
            "bootenv.missing",
            "there is no GRUB environment block",
            details=path,
            resolution=f"create it with: grub-editenv {path} create",
        ) from error
    except OSError as error:
        raise io_failed("the GRUB environment block cannot be read", error) from error


def _overwrite(path: str, block: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_SYNC | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.pwrite(fd, block, 0) != len(block):
            raise OSError(f"{path} took only a part of the block")
        os.fsync(fd)
    finally:
        os.close(fd)


def _replace(path: str, block: bytes) -> None:
    try:
        old = os.stat(path)
        mode, owner, group = stat.S_IMODE(old.st_mode), old.st_uid, old.st_gid
    except FileNotFoundError:  # as grub-editenv creates it
        mode, owner, group = 0o644, os.geteuid(), os.getegid()
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileNotFoundError):  # a leftover of a power cut
            os.unlink(_TEMPORARY, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(_TEMPORARY, flags, mode, dir_fd=folder)
        try:
            os.fchown(fd, owner, group)
            os.fchmod(fd, mode)
            if os.write(fd, block) != len(block):
                raise OSError(f"{path} took only a part of the block")
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(_TEMPORARY, os.path.basename(path), src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)
