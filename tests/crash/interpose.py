"""Records what code in this process does to files, as ``crash.trace`` does it for others: what comes after a power cut.

Only calls through the module ``os`` are seen. That nothing went another way is checked at the end: the files must hold
what the recorded operations make of them (``same``).
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from crash.disk import Operation, State
from crash.names import Moment, Names, NotUnderstood
from crash.record import Saved, Told, saved, watched

_UNKNOWN = (
    "link",
    "symlink",
    "truncate",
    "posix_fallocate",
    "copy_file_range",
    "sendfile",
    "splice",
    "rmdir",
    "writev",
)


class Interposer:
    """What happens below one directory while ``recording`` is open.

    Args:
        root: of what is watched.
        names: the names there.
    """

    def __init__(self, root: Path, names: Names) -> None:
        self._root, self._names = str(root), names
        self._ticks = itertools.count(1)
        self._open: dict[int, str] = {}
        self._positions: dict[int, int] = {}
        self._real: dict[str, Any] = {}
        self._moments: list[tuple[float, Operation | Told]] = []
        self.written: Counter[str] = Counter()  # how often each file was written to

    def tell(self, state: bytes) -> None:
        """The server knows something new."""
        self._moments.append((next(self._ticks), Told(state)))

    def save(self, save: Saved) -> None:
        """A bootloader has written."""
        began, ended = float(next(self._ticks)), float(next(self._ticks))
        self._add(saved(self._names, Saved(save.name, save.offset, save.data, began, ended)))

    def timeline(self) -> list[Operation | Told]:
        """Everything in order."""
        return [what for _, what in sorted(self._moments, key=lambda pair: pair[0])]

    def directories(self) -> frozenset[int]:
        """The numbers of directories, also of those made later."""
        return frozenset(self._names.directories.values())

    @contextmanager
    def recording(self) -> Iterator[Interposer]:
        """Puts itself between the code and the operating system."""
        mine: dict[str, Callable[..., Any]] = {
            name[4:]: getattr(self, name) for name in dir(self) if name.startswith("_os_")
        }
        mine |= {name: self._unknown(name) for name in _UNKNOWN}
        mine |= {"replace": self._os_rename, "remove": self._os_unlink, "fdatasync": self._os_fsync}
        self._real = {name: getattr(os, name) for name in mine}
        try:
            for name, function in mine.items():
                setattr(os, name, function)
            yield self
        finally:
            for name, function in self._real.items():
                setattr(os, name, function)

    def _add(self, moments: list[Moment]) -> None:
        self._moments += [(moment.time, moment.operation) for moment in moments]

    def _inside(self, path: object, folder: int | None = None) -> str | None:
        text = os.fspath(path)  # type: ignore[call-overload]  # whatever os takes
        if isinstance(text, bytes):
            text = os.fsdecode(text)
        if folder is not None and not text.startswith("/"):
            text = f"{self._root}/{self._open[folder]}/{text}" if self._open.get(folder) else f"{self._root}/{text}"
        return self._names.inside(self._root, text)

    def _timed(self, name: str, *arguments: Any, **more: Any) -> tuple[Any, float, float]:
        began = float(next(self._ticks))
        result = self._real[name](*arguments, **more)
        return result, began, float(next(self._ticks))

    def _os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        fd, began, ended = self._timed("open", path, flags, mode, dir_fd=dir_fd)
        name = self._inside(path, dir_fd)
        if name is not None:
            if flags & os.O_APPEND:
                raise NotUnderstood(f"{name} is opened to append")
            self._open[fd], self._positions[fd] = name, 0
            self._add(self._names.opened(name, truncated=bool(flags & os.O_TRUNC), began=began, ended=ended))
        return int(fd)

    def _os_close(self, fd: int) -> None:
        self._open.pop(fd, None)
        self._real["close"](fd)

    def _os_fdopen(self, fd: int, *arguments: Any, **more: Any) -> Any:
        return _Writer(fd) if fd in self._open else self._real["fdopen"](fd, *arguments, **more)

    def _os_write(self, fd: int, data: Any) -> int:
        count, began, ended = self._timed("write", fd, data)
        if fd in self._open:
            piece = bytes(memoryview(data).cast("B")[:count])
            self.written[self._open[fd]] += 1
            self._add(self._names.written(self._open[fd], self._positions[fd], piece, began, ended))
            self._positions[fd] += count
        return int(count)

    def _os_pwrite(self, fd: int, data: Any, offset: int) -> int:
        count, began, ended = self._timed("pwrite", fd, data, offset)
        if fd in self._open:
            piece = bytes(memoryview(data).cast("B")[:count])
            self.written[self._open[fd]] += 1
            self._add(self._names.written(self._open[fd], offset, piece, began, ended))
        return int(count)

    def _os_pwritev(self, fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        count, began, ended = self._timed("pwritev", fd, buffers, offset, flags)
        if fd in self._open:
            piece = b"".join(bytes(memoryview(each).cast("B")) for each in buffers)[:count]
            self.written[self._open[fd]] += 1
            self._add(self._names.written(self._open[fd], offset, piece, began, ended))
        return int(count)

    def _os_ftruncate(self, fd: int, size: int) -> None:
        _, began, ended = self._timed("ftruncate", fd, size)
        if fd in self._open:
            self._add(self._names.resized(self._open[fd], size, began, ended))

    def _os_fsync(self, fd: int) -> None:
        _, began, ended = self._timed("fsync", fd)
        if fd in self._open:
            self._add(self._names.flushed(self._open[fd], began, ended))

    def _os_rename(self, old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        _, began, _ = self._timed("rename", old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        before, after = self._inside(old, src_dir_fd), self._inside(new, dst_dir_fd)
        self._add(self._names.renamed(before, after, began))
        if before is not None and after is not None:
            self._open |= {fd: after for fd, name in self._open.items() if name == before}

    def _os_unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        _, began, _ = self._timed("unlink", path, dir_fd=dir_fd)
        name = self._inside(path, dir_fd)
        if name is not None:
            self._add(self._names.removed(name, began))

    def _os_mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        _, began, _ = self._timed("mkdir", path, mode, dir_fd=dir_fd)
        name = self._inside(path, dir_fd)
        if name is not None:
            self._add(self._names.made(name, began))

    def _unknown(self, name: str) -> Callable[..., Any]:
        def refuse(*arguments: Any, **more: Any) -> Any:
            touched = [each for each in arguments if isinstance(each, int) and each in self._open]
            touched += [each for each in arguments if isinstance(each, str | Path) and self._inside(each) is not None]
            if touched:
                raise NotUnderstood(f"os.{name}{arguments}")
            return self._real[name](*arguments, **more)

        return refuse


class _Writer:
    """A file object over a descriptor, so that its writes are seen."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The descriptor stays open: whoever opened it closes it."""


def same(root: Path, state: State) -> str:
    """Compares files with what they should hold; returns the first one that differs, or an empty string."""
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    found = {name: path for name, path in found.items() if watched(name)}
    if set(found) != set(state):
        return f"files {sorted(set(found) ^ set(state))}"
    for name, content in state.items():
        if found[name].stat().st_size != content.size:
            return f"{name}: {found[name].stat().st_size} bytes, recorded were {content.size}"
        with found[name].open("rb") as file:
            for at, piece in content.pieces():
                file.seek(at)
                if file.read(len(piece)) != piece:
                    return f"{name}: other bytes at {at} than recorded"
    return ""
