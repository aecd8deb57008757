"""From what happens to files by name to operations on a disk that knows files by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crash.content import Source
from crash.disk import Flush, Name, Operation, Resize, Unname, Write


class NotUnderstood(Exception):
    """Something happened to a watched file that is not known here, so that nothing could be proved about it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An operation and the time from which on it may be on the medium."""

    time: float
    operation: Operation


class Names:
    """Follows the names of the files that are watched. Paths are relative to the root of what is watched, which is ``""``.

    Args:
        watched: tells whether a path matters.
        files: the numbers of the files that are there already.
        directories: the same of directories, the root included.
    """

    def __init__(
        self, watched: Callable[[str], bool], files: Mapping[str, int], directories: Mapping[str, int]
    ) -> None:
        self._watched = watched
        self.files, self.directories = dict(files), dict(directories)
        self._next = 1 + max((*files.values(), *directories.values()))

    def inside(self, root: str, path: str) -> str | None:
        """The relative path of something watched; None for everything else. ``root`` is absolute."""
        if not f"{path}/".startswith(f"{root}/"):
            return None
        name = path[len(root) + 1 :]
        return name if self._watched(name) else None

    def opened(self, name: str, *, truncated: bool, began: float, ended: float) -> list[Moment]:
        """A file was opened; one that was not there is made."""
        if name in self.directories:
            return []
        if name not in self.files:
            self.files[name] = self._new()
            return [Moment(began, Name(*self._place(name), self.files[name]))]
        return [Moment(began, Resize(self.files[name], 0, ended))] if truncated else []

    def written(self, name: str, offset: int, data: bytes, began: float, ended: float) -> list[Moment]:
        """Bytes went into a file."""
        return [Moment(began, Write(self._number(name), Source.shared(offset, data), ended))]

    def resized(self, name: str, size: int, began: float, ended: float) -> list[Moment]:
        """A file was given another size."""
        return [Moment(began, Resize(self._number(name), size, ended))]

    def flushed(self, name: str, began: float, ended: float) -> list[Moment]:
        """An ``fsync`` of a file or directory has returned."""
        number = self.directories[name] if name in self.directories else self._number(name)
        return [Moment(ended, Flush(number, began))]

    def renamed(self, old: str | None, new: str | None, began: float) -> list[Moment]:
        """A file got another name; None stands for one that is not watched."""
        if old is None and new is None:
            return []
        if old is None or new is None or self._place(old)[0] != self._place(new)[0]:
            raise NotUnderstood(f"{old} is moved to {new}")
        number = self.files[new] = self.files.pop(old)
        return [Moment(began, Name(*self._place(new), number, self._place(old)[1]))]

    def removed(self, name: str, began: float) -> list[Moment]:
        """A name of a file was removed."""
        return [Moment(began, Unname(*self._place(name), self.files.pop(name)))]

    def made(self, name: str, began: float) -> list[Moment]:
        """A directory was made."""
        self.directories[name] = self._new()
        return [Moment(began, Name(*self._place(name), self.directories[name]))]

    def _number(self, name: str) -> int:
        if name not in self.files:
            raise NotUnderstood(f"it is not known where {name} comes from")
        return self.files[name]

    def _place(self, name: str) -> tuple[int, str]:
        folder, _, last = name.rpartition("/")
        if folder not in self.directories:
            raise NotUnderstood(f"it is not known where the directory of {name} comes from")
        return self.directories[folder], last

    def _new(self) -> int:
        self._next += 1
        return self._next - 1
