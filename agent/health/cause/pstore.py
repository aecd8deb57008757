"""The last words of a kernel: records that survive a reset in memory (ramoops), in firmware (EFI) or in flash.

The kernel shows them as files in a file system (Documentation/admin-guide/ramoops.rst, pstore-blk.rst); systemd-pstore(8) moves
them into a directory. Only as much is read as one panic needs.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_ENTRIES = 256  # names that are looked at
MAX_FILES = 24  # that are read, the newest
MAX_SIZE = 256 * 1024  # bytes of one, the last
_MAX_DEPTH = 2  # systemd-pstore(8): /var/lib/systemd/pstore/TIME/RECORD/dmesg.txt
_PANIC = re.compile(r"^.*Kernel panic - not syncing.*$", re.MULTILINE)  # kernel/panic.c
_LEVEL = re.compile(r"^<[0-9]+>")
_STAMP = re.compile(r"^\[ *[0-9]+\.[0-9]+\](\[[^\]]*\])? *")


@dataclass(frozen=True, slots=True)
class Panic:
    """One panic: what the kernel said, and what tells it from another one that said the same."""

    text: str
    identity: str


def panics(places: Sequence[Path]) -> list[Panic]:
    """All panics that are found, the newest first, each once; what cannot be read is left out.

    Args:
        places: directories.
    """
    files = sorted(_files(places), reverse=True)[:MAX_FILES]
    found: dict[str, Panic] = {}
    for _, path in files:
        data = _read(path)
        panic = panic_in(data.decode("utf-8", "replace")) if data else None
        if panic is not None:
            found.setdefault(panic.identity, panic)
    return list(found.values())


def panic_in(record: str) -> Panic | None:
    """The panic in one record: an oops after which the kernel went on is none.

    The stamp of a line counts microseconds of one boot, and survives when records are put together to one file. Where the
    kernel prints none, it is the content of the whole record that tells it apart.
    """
    match = _PANIC.search(record)
    if match is None:
        return None
    line = _LEVEL.sub("", match[0])
    text = _STAMP.sub("", line).strip()
    told_apart_by = line if _STAMP.match(line) else record
    printable = "".join(char if char.isprintable() else "?" for char in text)[:200]
    return Panic(printable, f"{zlib.crc32(told_apart_by.encode()):08x}")


def _files(places: Sequence[Path]) -> Iterator[tuple[int, Path]]:
    """The records with the time of their last change, at most so many names in all."""
    waiting = [(place, 0) for place in places]
    left = MAX_ENTRIES
    while waiting:
        place, depth = waiting.pop(0)
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue
        for name in names[-left:] if left else []:
            left -= 1
            path = place / name
            try:
                status = path.lstat()
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode) and depth < _MAX_DEPTH:
                waiting.append((path, depth + 1))
            elif stat.S_ISREG(status.st_mode) and name.startswith("dmesg"):
                yield status.st_mtime_ns, path


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - MAX_SIZE))
            return file.read(MAX_SIZE)
    except OSError:
        return b""
