"""Whether something uses a block device or file: mounts, swap, loop devices, device mapper, RAID.

``O_EXCL`` makes the kernel refuse a block device in use, in whatever mount namespace, but says neither why nor by whom,
and does nothing for files. This looks first, and names the user.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SECTOR = 512  # bytes: the unit of sizes in sysfs, whatever the device's own is (Documentation/ABI/stable/sysfs-block)
_MAX_TABLE = 4 * 1024 * 1024  # bytes of /proc/self/mountinfo that are looked at


@dataclass(frozen=True, slots=True)
class Identity:
    """What a path leads to, however it is spelled: a block device by number, a file by file system and inode.

    Attributes:
        rdev: the number of the block device, 0 for a file.
        dev: the file system of a file, 0 for a block device.
        ino: the inode of a file, 0 for a block device.
    """

    rdev: int
    dev: int
    ino: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Of a block device or anything else that has a path."""
        if stat.S_ISBLK(status.st_mode):
            return cls(status.st_rdev, 0, 0)
        return cls(0, status.st_dev, status.st_ino)

    @classmethod
    def at(cls, path: str) -> Identity | None:
        """Of what is at the path, or None when nothing is."""
        try:
            return cls.of(os.stat(path))
        except OSError:
            return None


def in_use(identity: Identity, *, proc: str = "/proc", sysfs: str = "/sys") -> str:
    """Says what uses the device or file, a partition of it, or the disk around it; empty when nothing does.

    Raises:
        OSError: /proc cannot be read, so that nothing is known.
    """
    return _first_user((identity, *relatives(identity, sysfs)), proc, sysfs)


def own_user(identity: Identity, *, proc: str = "/proc", sysfs: str = "/sys") -> str:
    """Says what uses the device or file itself, or a loop device over a file; its partitions do not count.

    Raises:
        OSError: /proc cannot be read, so that nothing is known.
    """
    return _first_user((identity, *_over_file(identity, sysfs)), proc, sysfs)


def mount_point(identity: Identity, *, proc: str = "/proc", sysfs: str = "/sys") -> str:
    """Where the device or file, or a loop device over a file, is mounted first; empty when it is not.

    Raises:
        OSError: /proc cannot be read.
    """
    ours = {identity, *_over_file(identity, sysfs)}
    return next((where for user, where in _mounts(proc) if user in ours), "")


def overlapping(identity: Identity, start: int, size: int, *, sysfs: str = "/sys") -> Iterator[Identity]:
    """The partitions that the kernel sees on the device, or on loop devices over the file, where bytes are shared.

    Args:
        identity: a disk, or a file that stands for one.
        start: byte offset.
        size: in bytes.
        sysfs: where sysfs is mounted.
    """
    for disk in (identity, *_over_file(identity, sysfs)):
        for attribute in _entry(disk.rdev, sysfs).glob("*/partition") if disk.rdev else ():
            part = attribute.parent
            first, length = (int(_line(part / name) or 0) * _SECTOR for name in ("start", "size"))
            if start < first + length and first < start + size:
                yield from _numbers([attribute])


def _over_file(identity: Identity, sysfs: str) -> Iterator[Identity]:
    for backing in _backings(sysfs):
        if not identity.rdev and Identity.at(_line(backing)) == identity:
            yield from _numbers([backing.parent.parent / "dev"])


def _backings(sysfs: str) -> Iterator[Path]:
    """Where each loop device tells its file; one without a file has no such attribute. An idle daemon looks at each poll."""
    block = os.path.join(sysfs, "block")
    try:
        names = os.listdir(block)
    except OSError:
        return
    for name in names:
        backing = f"{block}/{name}/loop/backing_file"
        if name.startswith("loop") and os.path.exists(backing):
            yield Path(backing)


def _first_user(identities: Iterable[Identity], proc: str, sysfs: str) -> str:
    mounted = dict(_mounts(proc))
    swapped = set(_swaps(proc))
    for user in identities:
        if user in mounted:
            return f"{_name(user, sysfs)}mounted on {mounted[user]}"
        if user in swapped:
            return f"{_name(user, sysfs)}swap space"
        for holder in _holders(user, sysfs):
            return f"{_name(user, sysfs)}part of {holder}"
    return ""


def write_protected(identity: Identity, sysfs: str = "/sys") -> bool:
    """Whether the kernel refuses writes to the block device; it may still let it be opened for writing."""
    return identity.rdev != 0 and _line(_entry(identity.rdev, sysfs) / "ro") == "1"


def relatives(identity: Identity, sysfs: str = "/sys") -> Iterator[Identity]:
    """Block devices whose bytes are also bytes of this one: partitions, the disk around, loop devices over it."""
    if identity.rdev:
        here = Path(os.path.realpath(_entry(identity.rdev, sysfs)))
        yield from _numbers(here.glob("*/partition"))
        if (here / "partition").exists():
            yield from _numbers([here / "partition"], up=1)
    for backing in _backings(sysfs):
        if Identity.at(_line(backing)) == identity:
            loop = backing.parent.parent
            yield from _numbers([loop / "dev"])
            yield from _numbers(loop.glob("*/partition"))


def mounts(proc: str = "/proc") -> Iterator[tuple[str, str, str]]:
    """Every mount that this process sees: type of file system, what is mounted, where.

    Raises:
        OSError: /proc cannot be read.
    """
    return ((kind, source, where) for _, kind, source, where in _mountinfo(proc))


def _mounts(proc: str) -> Iterator[tuple[Identity, str]]:
    """By number and by source path. btrfs shows a number that is no device's."""
    for number, _, source, where in _mountinfo(proc):
        yield Identity(number, 0, 0), where
        found = Identity.at(source) if source.startswith("/") else None
        if found is not None:
            yield found, where


def _mountinfo(proc: str) -> Iterator[tuple[int, str, str, str]]:
    """Number (field 3), type, source, mount point; proc_pid_mountinfo(5)."""
    for line in _table(Path(proc, "self/mountinfo")):
        fields, _, rest = line.partition(" - ")
        columns, more = fields.split(" "), rest.split(" ")
        if len(columns) >= 5 and len(more) >= 2:
            yield _number(columns[2]), more[0], _plain(more[1]), _plain(columns[4])


def _swaps(proc: str) -> Iterator[Identity]:
    for line in _table(Path(proc, "swaps"))[1:]:
        found = Identity.at(_plain(line.split()[0])) if line.strip() else None
        if found is not None:
            yield found


def _holders(identity: Identity, sysfs: str) -> list[str]:
    if not identity.rdev:
        return []
    try:
        return sorted(os.listdir(_entry(identity.rdev, sysfs) / "holders"))
    except FileNotFoundError:
        return []


def _numbers(attributes: Iterator[Path] | list[Path], up: int = 0) -> Iterator[Identity]:
    """The devices in whose sysfs folder the attributes are, or ``up`` folders above."""
    for attribute in attributes:
        number = _number(_line(attribute.parents[up] / "dev"))
        if number:
            yield Identity(number, 0, 0)


def _entry(rdev: int, sysfs: str) -> Path:
    return Path(sysfs, "dev/block", f"{os.major(rdev)}:{os.minor(rdev)}")


def _name(identity: Identity, sysfs: str) -> str:
    return f"{os.path.basename(os.path.realpath(_entry(identity.rdev, sysfs)))} is " if identity.rdev else ""


def _number(text: str) -> int:
    major, _, minor = text.partition(":")
    return os.makedev(int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else 0


def _line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape").rstrip("\n")
    except OSError:
        return ""  # gone while we looked


def _table(path: Path) -> list[str]:
    with path.open("rb") as file:
        text = file.read(_MAX_TABLE + 1)
    if len(text) > _MAX_TABLE:
        raise OSError(f"{path} has more than {_MAX_TABLE} bytes")
    return text.decode("utf-8", "surrogateescape").splitlines()


def _plain(text: str) -> str:
    """Space, tab, newline and backslash are written as three octal digits in tables of /proc."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)
