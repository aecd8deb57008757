"""The files of the audit log: segments of records, the place where the oldest one left ends, and how far it surely came.

``000000000001.jsonl`` begins with a header and holds the records from 1 on. ``checkpoint`` is a header: what stood before
it was removed to make room. ``head`` tells the last place that was durable; it is not flushed, so that it may lag.
``recording`` is what a user of the device has said about being recorded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from agent.audit.chain import (
    MAX_LINE,
    START,
    Broken,
    Entry,
    Link,
    canonical,
    entry,
    follow,
    header,
    is_header,
    place,
    trailer,
)

_SUFFIX = ".jsonl"
_HEAD_SIZE = 128  # bytes, less than a sector, so that it is old or new and never half
_BUFFER = 64 * 1024  # bytes; without a number Python asks whether it is a terminal
_MAX_SEGMENT = 4 * 1024 * 1024  # bytes


@dataclass(slots=True)
class Found:
    """What is on the medium, read only.

    ``at`` is the place to go on from, ``path`` and ``size`` where the next record goes; ``path`` is None when that needs a
    new segment. ``torn`` are bytes behind it that nobody was told of, ``useless`` segments that are nothing else.
    ``damaged`` is the first record that is missing or was changed, 0 for none. ``entries`` are those of the newest segment.
    """

    at: Link = START
    path: Path | None = None
    size: int = 0
    torn: int = 0
    useless: list[Path] = field(default_factory=list)
    damaged: int = 0
    entries: list[Entry] = field(default_factory=list)


class Files:
    """The directory of the audit log.

    Args:
        directory: need not exist.

    Raises (every method):
        OSError: the medium does not give or take it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def checkpoint(self) -> Link:
        """The place before the oldest record that is kept."""
        return self._place("checkpoint") or START

    def told(self) -> Link | None:
        """The last place that was noted as durable; None when that is not known."""
        return self._place("head")

    def wish(self) -> tuple[bool, str] | None:
        """Whether a user of the device wants notes to be recorded, and which; None when nobody has said anything."""
        try:
            with (self.directory / "recording").open("rb", _BUFFER) as file:
                values = json.loads(file.read(MAX_LINE))
        except (FileNotFoundError, ValueError):
            return None
        recording, by = (values.get("recording"), values.get("by")) if isinstance(values, dict) else (None, "")
        return (recording, str(by)) if isinstance(recording, bool) else None

    def set_wish(self, recording: bool, by: str) -> None:
        """Remembers it, durably."""
        self._make()
        self._replace("recording", canonical({"recording": recording, "by": by}) + b"\n")

    def segments(self, begin: Link) -> list[Path]:
        """The files with records behind this place, the oldest first."""
        return [path for path in self._all() if int(path.stem) > begin.count]

    def look(self) -> Found:
        """Finds where to go on. Only the newest segment is read; ``steps`` reads them all."""
        found, told = Found(self.checkpoint()), self.told()
        for path in reversed(self.segments(found.at)):
            lines = list(_lines(path))
            begin = place(lines[0]) if lines and is_header(lines[0]) else None
            if begin is None and _furthest(lines, found.at) is None and (told is None or told.count < int(path.stem)):
                found.useless.append(path)  # the power failed while it was made
                found.torn += sum(map(len, lines))
                continue
            self._read(found, path, begin or Link(int(path.stem) - 1, ""), lines if begin is None else lines[1:], told)
            return found
        if told is not None and told.count > found.at.count:
            found.damaged, found.at = found.at.count + 1, told
        return found

    @staticmethod
    def _read(found: Found, path: Path, begin: Link, lines: list[bytes], told: Link | None) -> None:
        found.at, found.path, good = begin, path, 0
        with suppress(Broken):
            for at, each in follow(begin, lines):
                found.at, good = at, good + 1
                found.entries.append(each)
        rest = lines[good:]
        later = _furthest(rest, found.at)
        if told is not None and told.count > (later or found.at).count:
            later = told
        found.size = len(header(begin)) + sum(map(len, lines[:good]))
        if later is not None:  # these were there once, or are there still
            found.damaged, found.at, found.path, found.size = found.at.count + 1, later, None, 0
        else:
            found.torn += sum(map(len, rest))

    def steps(self) -> Iterator[tuple[Link, Entry]]:
        """Goes along all records that are kept.

        Raises:
            Broken: the chain does not hold.
        """
        told = self.told()  # before the rest: somebody may be writing
        at = self.checkpoint()
        segments = self.segments(at)
        for path in segments:
            rest = list(_lines(path))
            try:
                if not rest or not is_header(rest[0]) or place(rest[0]) != at:
                    raise Broken(at.count + 1, f"{path.name} does not begin where the records before it end")
                del rest[0]
                for step in follow(at, list(rest)):
                    at = step[0]
                    del rest[0]
                    yield step
            except Broken:
                if path != segments[-1] or not _only_torn(rest, at, told):
                    raise
        if told is not None and told.count > at.count:
            raise Broken(at.count + 1, f"there were {told.count} records, {at.count} are left")

    def copy(self) -> Iterator[bytes]:
        """The lines of an export: everything as it is now, in order or not. What is written later is not in it."""
        told = self.told()  # before the rest, as above
        begin = self.checkpoint()
        files = [path.open("rb", _BUFFER) for path in self.segments(begin)]
        opened = [(file, os.fstat(file.fileno()).st_size) for file in files]

        def lines() -> Iterator[bytes]:
            last = begin
            with ExitStack() as stack:
                for file, _ in opened:
                    stack.enter_context(file)
                yield header(begin)
                for text in (text for file, size in opened for text in _lines_of(file, size)):
                    if is_header(text) or not text.endswith(b"\n"):
                        continue
                    found = entry(text)
                    last = Link(found.values["seq"], found.hash) if found else last
                    yield text
            yield trailer(last if told is None or told.count <= last.count else told)

        return lines()

    def start(self, at: Link, text: bytes) -> tuple[Path, int]:
        """Makes a segment with its first record, durably; returns its path and size."""
        self._make()
        path = self.directory / f"{at.count + 1:012d}{_SUFFIX}"
        data = header(at) + text
        self._write(path, os.O_CREAT | os.O_TRUNC, data, 0, sync=True)
        self._sync(self.directory)
        return path, len(data)

    def append(self, path: Path, size: int, text: bytes) -> int:
        """Adds a record to a segment of this size, durably; what is behind that is replaced. Returns the new size."""
        self._write(path, 0, text, size, sync=True)
        return size + len(text)

    def cut(self, path: Path, size: int) -> None:
        """Removes, durably, what is behind the last whole record."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    def take_back(self, path: Path | None, size: int, at: Link) -> None:
        """Removes what a failed ``append`` or ``start`` may have left; the arguments are what it was given."""
        if path is not None:
            self.cut(path, size)
        self.remove(self.directory / f"{at.count + 1:012d}{_SUFFIX}")

    def note_head(self, at: Link) -> None:
        """Remembers a place that is durable, for the case that records are taken away later."""
        text = header(at).rstrip(b"\n").ljust(_HEAD_SIZE - 1) + b"\n"
        self._write(self.directory / "head", os.O_CREAT, text, 0, sync=False)

    def remove(self, path: Path) -> None:
        """Removes a segment that holds no record."""
        path.unlink(missing_ok=True)

    def make_room(self, keep: int) -> None:
        """Replaces the oldest segments by a checkpoint, so that no more than ``keep`` are left."""
        segments = self.segments(self.checkpoint())
        if len(segments) > keep:
            first = segments[-keep]
            with first.open("rb", _BUFFER) as file:
                at = place(file.readline(MAX_LINE))
            if at is not None:
                self._replace("checkpoint", header(at))
        begin = self.checkpoint()
        for path in self._all():
            if int(path.stem) <= begin.count:
                path.unlink(missing_ok=True)

    def _all(self) -> list[Path]:
        with suppress(FileNotFoundError):
            found = [path for path in self.directory.iterdir() if path.suffix == _SUFFIX and path.stem.isdecimal()]
            return sorted(found, key=lambda path: int(path.stem))
        return []

    def _place(self, name: str) -> Link | None:
        try:
            with (self.directory / name).open("rb", _BUFFER) as file:
                text = file.read(MAX_LINE)
        except FileNotFoundError:
            return None
        return place(text) if is_header(text) else None

    def _make(self) -> None:
        if not self.directory.is_dir():
            os.mkdir(self.directory, 0o700)
            self._sync(self.directory.parent)

    def _replace(self, name: str, data: bytes) -> None:
        temporary = self.directory / f"{name}.new"
        self._write(temporary, os.O_CREAT | os.O_TRUNC, data, 0, sync=True)
        os.rename(temporary, self.directory / name)
        self._sync(self.directory)

    @staticmethod
    def _write(path: Path, flags: int, data: bytes, offset: int, *, sync: bool) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
        try:
            view = memoryview(data)
            while view:
                count = os.pwrite(fd, view, offset)
                view, offset = view[count:], offset + count
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)

    @staticmethod
    def _sync(directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", _BUFFER) as file:
        yield from _lines_of(file, _MAX_SEGMENT)


def _lines_of(file: BinaryIO, left: int) -> Iterator[bytes]:
    """The lines of a file with their line feeds; only the last may be without one, or be no line at all."""
    while left > 0 and (text := file.readline(min(left, MAX_LINE))):
        left -= len(text)
        yield text


def _furthest(lines: list[bytes], at: Link) -> Link | None:
    """The last whole record in lines that do not continue the chain here; None when there is none beyond that place."""
    for text in reversed(lines):
        found = entry(text)
        if found is not None and found.values["seq"] > at.count:
            return Link(found.values["seq"], found.hash)
    return None


def _only_torn(rest: list[bytes], at: Link, told: Link | None) -> bool:
    """Whether what is wrong behind a place is a record that nobody was told of: of a power cut, or of this very moment."""
    known = told is not None and told.count > at.count
    return not known and not any(is_header(text) or entry(text) for text in rest)
