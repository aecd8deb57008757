"""When each entry of some logs was written: QEMU's trace of ``bdrv_co_pwritev_part``. Pure.

A log carries no time, and two drives have two logs. QEMU's own trace (``-trace bdrv_co_pwritev_part -msg timestamp=on``) has
one line for each write of every node of the block layer, the writes to the logs among them. Where a log is written at the
offset of an entry, that entry has happened; the order of the lines is the order of all drives together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torture.writelog import Entry

_LINE = re.compile(r"(?:\d+@)?(\d+\.\d+):bdrv_co_pwritev_part bs (0x[0-9a-f]+) offset (\d+) bytes (\d+) ")


class NotInTrace(Exception):
    """The trace does not fit the logs, so that the order of the drives is not known."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An entry of a log and when it was written.

    Attributes:
        time: seconds since the epoch, by the host's clock.
        drive: number of the drive.
        entry: number of the entry in the log of that drive.
    """

    time: float
    drive: int
    entry: int


def moments(trace: Iterable[str], logs: Sequence[Sequence[Entry]]) -> list[Moment]:
    """All entries of all logs in the order in which they happened.

    Raises:
        NotInTrace: an entry has no line.
    """
    lines = [match.groups() for match in map(_LINE.match, trace) if match]
    nodes: dict[str, list[tuple[int, int, float]]] = {}
    for number, (time, node, offset, _) in enumerate(lines):
        nodes.setdefault(node, []).append((int(offset), number, float(time)))
    found: list[tuple[int, Moment]] = []
    free = dict(nodes)
    for drive, log in enumerate(logs):
        node, placed = _node(drive, log, free)
        if node:
            del free[node]
        found += [(number, Moment(time, drive, entry)) for entry, (number, time) in enumerate(placed)]
    return [moment for _, moment in sorted(found, key=lambda pair: pair[0])]


def _node(
    drive: int, log: Sequence[Entry], nodes: dict[str, list[tuple[int, int, float]]]
) -> tuple[str, list[tuple[int, float]]]:
    """The node that is a log: the first that was written at the offset of every entry, in their order."""
    if not log:
        return "", []
    for node, writes in nodes.items():
        placed: list[tuple[int, float]] = []
        for offset, number, time in writes:
            if len(placed) < len(log) and offset == log[len(placed)].header:
                placed.append((number, time))
        if len(placed) == len(log):
            return node, placed
    raise NotInTrace(f"no node was written where drive {drive} has the entries of its log")
