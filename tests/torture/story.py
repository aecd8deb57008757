"""A recorded update as files: base image and write log of each drive, QEMU's trace, and ``story.json`` with everything else.

The story tells where on the drives the environment, the slots and the state directory lie, and what the server knew when.
"""

from __future__ import annotations

import dataclasses
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slots import gpt
from torture.medium import SECTOR, Bytes, Region

STORY = "story.json"
TRACE = "trace"


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a copy of the boot environment lies.

    Attributes:
        region: name of the partition, or ``card`` for a drive without partitions.
        offset: of the copy, from the start of the region; of the file, when there is a path.
        size: bytes.
        path: of the file on the FAT file system that is in the region; empty for raw bytes.
    """

    region: str
    offset: int
    size: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the server knew from a moment on: the status of the action, and how many messages it had."""

    time: float
    status: str
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Boot:
    """A kernel was started: when, and of which slot."""

    time: float
    bootname: str


@dataclass(frozen=True, slots=True)
class Drive:
    """A drive of the machine: its name, which is that of its files; its regions when it has no partition table."""

    name: str
    cached: bool = True
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """One recorded update.

    Attributes:
        board: the name of the board.
        scenario: what was recorded, defects included.
        format: of the environment: ``uboot-redundant``, ``uboot`` (copies without flags, the first valid one counts), ``grub``.
        slots: boot name and name of the partition.
        old: boot name of the slot that ran before; ``new`` of the one that was to run after.
        image: length of the image in bytes; what follows in the partition is nobody's.
        whole: what a slot may hold: mark of the region and what it is called, see ``medium.mark_of``.
        state: path of the state directory on the file system of ``data``.
        floor: the lowest version that the update asks for; empty for none.
        outcome: the status that the server had in the end.
        agent: the commit that changed the agent last.
    """

    board: str
    scenario: str
    format: str
    drives: tuple[Drive, ...]
    copies: tuple[Copy, ...]
    slots: Mapping[str, str]
    old: str
    new: str
    image: int
    whole: Mapping[str, int]
    state: str
    floor: str
    outcome: str
    data: str = "data"
    agent: str = ""
    told: tuple[Told, ...] = ()
    boots: tuple[Boot, ...] = ()
    marks: Mapping[str, float] = field(default_factory=dict)

    def knew(self, time: float) -> Told:
        """What the server knew at a time."""
        return self.told[max(0, bisect_right([each.time for each in self.told], time) - 1)]

    def save(self, directory: Path) -> None:
        """Writes it beside the logs."""
        (directory / STORY).write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @staticmethod
    def load(directory: Path) -> Story:
        """Reads it."""
        values: dict[str, Any] = json.loads((directory / STORY).read_text())
        values["drives"] = tuple(
            Drive(**{**each, "regions": tuple(Region(**region) for region in each["regions"])})
            for each in values["drives"]
        )
        for name, kind in (("copies", Copy), ("told", Told), ("boots", Boot)):
            values[name] = tuple(kind(**each) for each in values[name])
        return Story(**values)


def regions(base: Bytes, drive: Drive, labels: Sequence[str] = ()) -> tuple[Region, ...]:
    """The parts of a drive: its partitions by label, or what the story says."""
    if drive.regions:
        return drive.regions
    place = gpt.array_place(base[SECTOR : 2 * SECTOR], 1)
    if place is None:
        raise ValueError(f"{drive.name} has no partition table")
    array = base[place.lba * SECTOR : place.lba * SECTOR + place.length]
    table = gpt.parse(base[SECTOR : 2 * SECTOR], 1, array)
    if table is None:
        raise ValueError(f"{drive.name} has a damaged partition table")
    found = []
    for each in gpt.partitions(table):
        at = each.number * table.entry_size
        label = array[at + 56 : at + 128].decode("utf-16-le").rstrip("\0")  # UEFI 2.10, table 5.6
        if not labels or label in labels:
            found.append(Region(label, each.first * SECTOR, (each.last - each.first + 1) * SECTOR))
    return tuple(found)
