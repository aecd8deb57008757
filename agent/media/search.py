"""Looking for bundles below a directory that a stranger has filled: bounded, and never out of it.

Every name is opened on its own, relative to its directory and without following links (openat(2), O_NOFOLLOW). So neither
a link nor ``..`` leads anywhere, which is what RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS of openat2(2) promise, on every
kernel. Nothing that is no regular file is opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from re import IGNORECASE, Pattern, compile

MAX_NAMES = 4096  # that are looked at on one medium
MAX_BUNDLES = 16
MAX_PATH = 512  # characters
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Bundle:
    """A file that may be a bundle: its path from the top, and what tells it from another one (bytes, nanoseconds)."""

    path: str
    size: int
    mtime: int


@dataclass(slots=True)
class Search:
    """What was found.

    Attributes:
        bundles: in the order of their paths.
        complete: whether everything was looked at; False when a limit was reached, or a directory could not be read.
    """

    bundles: list[Bundle] = field(default_factory=list)
    complete: bool = True


def search(top: int, pattern: str, depth: int) -> Search:
    """Finds the files whose names match.

    Args:
        top: a descriptor of the directory.
        pattern: for names, as fnmatch(3) takes it; case does not matter. Names that begin with a dot are left out: other
            systems put their notes about a file there under its own name.
        depth: how many levels of directories are looked into.
    """
    found = Search()
    budget = [MAX_NAMES]
    for bundle in _walk(top, "", compile(translate(pattern), IGNORECASE), depth, budget, found):
        if len(found.bundles) == MAX_BUNDLES:
            found.complete = False
            break
        found.bundles.append(bundle)
    found.bundles.sort(key=lambda bundle: bundle.path)
    return found


def open_bundle(top: int, path: str) -> int:
    """Opens a regular file for reading.

    Raises:
        OSError: it is not there, a part of the path is a link, or it is no regular file.
    """
    *directories, name = path.split("/")
    if not all(_plain(part) for part in (*directories, name)):
        raise FileNotFoundError(path)
    here = os.open(".", _DIRECTORY, dir_fd=top)
    try:
        for each in directories:
            inner = _open_directory(each, here)
            os.close(here)
            here = inner
        if not stat.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            raise FileNotFoundError(path)
        fd = os.open(name, _FILE, dir_fd=here)
    finally:
        os.close(here)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(path)
    return fd


def _walk(
    here: int, prefix: str, wanted: Pattern[str], depth: int, budget: list[int], found: Search
) -> Iterator[Bundle]:
    deeper = []
    with os.scandir(here) as entries:
        for entry in entries:
            budget[0] -= 1
            if budget[0] < 0:
                found.complete = False
                return
            path = prefix + entry.name
            if not _plain(entry.name) or len(path) > MAX_PATH:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:  # a damaged directory names what is not there
                continue
            if stat.S_ISREG(status.st_mode) and wanted.fullmatch(entry.name) and status.st_size:
                yield Bundle(path, status.st_size, status.st_mtime_ns % (1 << 63))  # it may be any number
            elif stat.S_ISDIR(status.st_mode) and depth > 1:
                deeper.append(entry.name)
    for name in sorted(deeper):
        try:
            inner = _open_directory(name, here)
            try:
                yield from _walk(inner, f"{prefix}{name}/", wanted, depth - 1, budget, found)
            finally:
                os.close(inner)
        except OSError:  # it is damaged; the others may not be
            found.complete = False


def _open_directory(name: str, here: int) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=here)
    except PermissionError:  # O_NOATIME is for the owner (open(2)); the medium is read-only anyway
        return os.open(name, _DIRECTORY & ~os.O_NOATIME, dir_fd=here)


def _plain(name: str) -> bool:
    """Whether a name can be shown and sent: of text, not hidden, no way up."""
    return bool(name) and not name.startswith(".") and "/" not in name and name.isprintable()
