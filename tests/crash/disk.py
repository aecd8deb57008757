"""A disk that loses power: what was flushed stays, of everything else any part may be there or not. Pure.

- Data: each sector of a write that was not followed by a completed ``fsync`` of its file is there or not, whatever became
  of the others. A file that grew may have any size in between; what did not arrive reads as zeros or as rubbish.
- Names: each creation, renaming and removal in a directory that was not followed by a completed ``fsync`` of that directory
  took place or not, one by one. A renaming is atomic. A file whose name survived may have lost its data.

That is more than a journaling file system ever loses, and what POSIX allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from crash.content import SECTOR, Content, Source

RUBBISH = b"\xa5"


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes into a file. ``ended`` is when the call returned."""

    file: int
    source: Source
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Resize:
    """A file gets another size."""

    file: int
    size: int
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Flush:
    """An ``fsync`` that has completed: what had ended when it began is on the medium."""

    file: int
    began: float = float("inf")


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a directory for a file that had none there, or instead of the file ``old``."""

    directory: int
    name: str
    file: int
    old: str = ""


@dataclass(frozen=True, slots=True)
class Unname:
    """A name is removed."""

    directory: int
    name: str
    file: int


Operation = Write | Resize | Flush | Name | Unname


@dataclass(slots=True)
class Node:
    """A file or a directory: what is on the medium for sure, and what may be."""

    durable: Content = field(default_factory=Content)
    pending: list[Write | Resize] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    waiting: list[Name | Unname] = field(default_factory=list)


State = Mapping[str, Content]  # every file by its path


class Disk:
    """The disk at one moment of a recording.

    Args:
        nodes: by number; 0 is the root directory. Everything in it is on the medium.
        directories: which numbers are directories.
    """

    def __init__(self, nodes: Mapping[int, Node], directories: frozenset[int]) -> None:
        self._nodes = dict(nodes)
        self._directories = directories

    def copy(self) -> Disk:
        """The same disk, which goes its own way from now on."""
        nodes = {
            number: Node(node.durable, list(node.pending), dict(node.names), list(node.waiting))
            for number, node in self._nodes.items()
        }
        return Disk(nodes, self._directories)

    def apply(self, operation: Operation) -> None:
        """Lets one operation happen."""
        if isinstance(operation, Name | Unname):
            self._node(operation.file)
            self._node(operation.directory).waiting.append(operation)
        elif isinstance(operation, Flush):
            self._flush(self._node(operation.file), operation.began)
        else:
            self._node(operation.file).pending.append(operation)

    def pending(self) -> frozenset[int]:
        """The numbers of files and directories of which something may be lost."""
        return frozenset(number for number, node in self._nodes.items() if node.pending or node.waiting)

    def survivors(self, chance: Random, mode: str = "") -> State:
        """What is found after a power cut.

        Args:
            chance: decides.
            mode: ``nothing`` that is pending survives, or ``everything``; empty lets chance decide about each part.
        """
        found: dict[str, Content] = {}
        kept: dict[int, Content] = {}
        self._walk(0, "", chance, mode, found, kept)
        return found

    def _walk(
        self, number: int, path: str, chance: Random, mode: str, found: dict[str, Content], kept: dict[int, Content]
    ) -> None:
        for name, child in sorted(_names(self._nodes[number], chance, mode).items()):
            if child in self._directories:
                self._walk(child, f"{path}{name}/", chance, mode, found, kept)
                continue
            if child not in kept:
                kept[child] = _content(self._nodes[child], chance, mode)
            found[path + name] = kept[child]

    def _node(self, number: int) -> Node:
        return self._nodes.setdefault(number, Node())

    @staticmethod
    def _flush(node: Node, began: float) -> None:
        still: list[Write | Resize] = []
        for operation in node.pending:
            if operation.ended <= began:
                node.durable = _whole(node.durable, operation)
            else:
                still.append(operation)
        node.pending = still
        for change in node.waiting:
            _rename(node.names, change)
        node.waiting = []


def _rename(names: dict[str, int], change: Name | Unname) -> None:
    if isinstance(change, Unname):
        if names.get(change.name) == change.file:
            del names[change.name]
        return
    names[change.name] = change.file
    if change.old and names.get(change.old) == change.file:
        del names[change.old]


def _whole(content: Content, operation: Write | Resize) -> Content:
    if isinstance(operation, Resize):
        return content.cut(operation.size)
    return content.written(operation.source, operation.source.offset, operation.source.end)


def _names(node: Node, chance: Random, mode: str) -> dict[str, int]:
    names = dict(node.names)
    for change, survives in zip(node.waiting, _which(len(node.waiting), chance, mode), strict=True):
        if survives:
            _rename(names, change)
    return names


def _which(count: int, chance: Random, mode: str) -> list[bool]:
    """Which of some pending operations survive: often the first ones, else any."""
    mode = mode or chance.choice(("nothing", "everything", "first", "any", "any"))
    if mode == "first":
        border = chance.randint(0, count)
        return [index < border for index in range(count)]
    if mode == "any":
        return [chance.random() < 0.5 for _ in range(count)]
    return [mode == "everything"] * count


def _content(node: Node, chance: Random, mode: str) -> Content:
    content = node.durable
    mode = mode or chance.choice(("nothing", "everything", "torn", "torn", "torn"))
    if mode != "torn":
        for operation in node.pending if mode == "everything" else ():
            content = _whole(content, operation)
        return content
    for operation, survives in zip(node.pending, _which(len(node.pending), chance, ""), strict=True):
        if isinstance(operation, Resize):
            content = content.cut(operation.size) if survives else content
        elif survives and chance.random() < 0.5:
            content = _whole(content, operation)
        elif survives or chance.random() < 0.25:
            content = _torn(content, operation.source, chance)
    return content


def _torn(content: Content, source: Source, chance: Random) -> Content:
    """Some sectors of one write."""
    grows = source.end > content.size
    size = (
        chance.choice((content.size, source.end, chance.randint(content.size, source.end))) if grows else content.size
    )
    if grows and chance.random() < 0.5:
        filler = Source(content.size, RUBBISH * (size - content.size))
        content = content.written(filler, filler.offset, filler.end)
    for first, last in _sectors(source.sectors(), chance):
        begin, end = source.span(first, last)
        content = content.written(source, begin, end)
    return content.cut(size) if grows else content


def _sectors(count: int, chance: Random) -> list[tuple[int, int]]:
    """Runs of the sectors that survive."""
    border = chance.randint(0, count)
    kind = chance.choice(("head", "tail", "one", "hole", "some"))
    if kind == "head":
        return [(0, border)]
    if kind == "tail":
        return [(border, count)]
    at = min(border, count - 1)
    if kind == "one":
        return [(at, at + 1)]
    if kind == "hole":
        return [(0, at), (at + 1, count)]
    if count <= 64:
        return [(index, index + 1) for index in range(count) if chance.random() < 0.5]
    borders = sorted(chance.sample(range(count + 1), 6))
    return [(borders[0], borders[1]), (borders[2], borders[3]), (borders[4], borders[5])]


def fingerprint(state: State) -> bytes:
    """The same for the same files with the same bytes."""
    return b"".join(path.encode() + b"\0" + content.fingerprint() for path, content in sorted(state.items()))


__all__ = [
    "SECTOR", "Content", "Disk", "Flush", "Name", "Node", "Operation", "Resize", "Source", "State", "Unname", "Write",
    "fingerprint",
]  # fmt: skip
