"""Looks at what a power cut left: environment, slots, documents. What was seen before is not read again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from agent.audit.chain import Broken
from agent.audit.files import Files
from torture.environment import Environment, Read, environment
from torture.ext4 import Ext4, NotReadable
from torture.judge import Documents, Found
from torture.medium import Region, View
from torture.story import Story

_AUDIT = "audit/"


class Looker:
    """For the states of one recording.

    Args:
        story: of the recording.
        places: by name of a region, the number of its drive, and where it is.
        before: by name of a region, the mark of what it held at the beginning; of the slots.
    """

    def __init__(self, story: Story, places: Mapping[str, tuple[int, Region]], before: Mapping[str, int]) -> None:
        self._story, self._places, self._before = story, places, before
        self._names = {mark: name for name, mark in story.whole.items()}
        self._environments: dict[tuple[int, ...], Environment] = {}
        self._documents: dict[int, Documents] = {}

    def found(self, views: list[View]) -> Found:
        """What is there; ``views`` are those of all drives."""
        story = self._story
        where = tuple(self._mark(views, copy.region) for copy in story.copies)
        if where not in self._environments:
            self._environments[where] = environment(
                story.format, story.copies, lambda name: self._reader(views, name), tuple(story.slots)
            )
        data = self._mark(views, story.data)
        if data not in self._documents:
            self._documents[data] = documents(self._reader(views, story.data), story.state)
        slots = {
            name: self._names.get(self._mark(views, label) ^ self._before[label], "")
            for name, label in story.slots.items()
        }
        return Found(self._environments[where], slots, self._documents[data])

    def _mark(self, views: list[View], name: str) -> int:
        return views[self._places[name][0]].marks[name]

    def _reader(self, views: list[View], name: str) -> Read:
        drive, region = self._places[name]
        view = views[drive]
        return lambda offset, length: view.read(region.start + offset, length)


def documents(read: Read, state: str) -> Documents:
    """What the state directory on a file system holds.

    Args:
        read: gives bytes of the partition.
        state: path of the directory.
    """
    try:
        files = Ext4(read).tree(state)
    except NotReadable as error:
        return Documents({}, (f"the file system of the state cannot be read: {error}",))
    values: dict[str, Mapping[str, object]] = {}
    damaged: list[str] = []
    for name, data in files.items():
        if not name.endswith(".json") or "/" in name:
            continue
        try:
            document = json.loads(data)
        except ValueError:
            document = None
        if isinstance(document, dict):
            values[name.removesuffix(".json")] = document
        else:
            damaged.append(f"{name} is damaged")
    if problem := _audited(tuple((name, data) for name, data in files.items() if name.startswith(_AUDIT))):
        damaged.append(problem)
    return Documents(values, tuple(damaged))


@lru_cache(maxsize=1024)
def _audited(files: tuple[tuple[str, bytes], ...]) -> str:
    """What is wrong with the audit log, which is read by the agent's own code; nothing when there is none yet."""
    if not files:
        return ""
    with tempfile.TemporaryDirectory(prefix="ota-torture-") as name:
        for path, data in files:
            target = Path(name) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        try:
            for _ in Files(Path(name) / "audit").steps():
                pass
        except Broken as broken:
            return f"audit record {broken.seq} is not in order: {broken.why}"
    return ""
