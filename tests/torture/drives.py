"""The drives of a machine as they are now, read region by region from the images that it writes to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from boot.lab.disk import Layout

from torture.environment import Environment, environment
from torture.judge import Found
from torture.look import documents
from torture.story import Story

_NOT_READ = "not read"
_STEP = 1024 * 1024


class Drives:
    """Of a machine whose disks are raw.

    Args:
        directory: has ``<drive>.img`` of each drive.
        layout: of the first disk.
        story: where everything lies.
        known: what a slot may hold beside zeros: what it is called, and the image.
    """

    def __init__(self, directory: Path, layout: Layout, story: Story, known: Mapping[str, Path]) -> None:
        self._directory, self._story, self._known = directory, story, known
        self._places = {each.label: ("disk", layout.offset(each.label)) for each in layout.partitions}
        for drive in story.drives:
            self._places |= {region.name: (drive.name, region.start) for region in drive.regions}

    def environment(self) -> Environment:
        """The boot environment."""
        with ExitStack() as stack:
            return self._environment(_Opened(self._directory, stack))

    def found(self, *, whole: bool = False) -> Found:
        """What is there; slots are read only where the boot script would start them, or if all of it is wanted."""
        with ExitStack() as stack:
            opened = _Opened(self._directory, stack)
            found = self._environment(opened)
            slots = {
                name: self._slot(opened, label) if whole or name in found.picks else _NOT_READ
                for name, label in self._story.slots.items()
            }
            drive, start = self._places[self._story.data]
            data = opened[drive]
            state = documents(lambda offset, length: os.pread(data, length, start + offset), self._story.state)
            return Found(found, slots, state)

    def _environment(self, opened: _Opened) -> Environment:
        story = self._story

        def read(name: str):  # type: ignore[no-untyped-def]  # a reader of the region
            drive, start = self._places[name]
            return lambda offset, length: os.pread(opened[drive], length, start + offset)

        return environment(story.format, story.copies, read, tuple(story.slots))

    def _slot(self, opened: _Opened, label: str) -> str:
        """Comparing is several times faster than a hash, and ends at the first difference."""
        drive, start = self._places[label]
        left = {**self._known, "before": Path("/dev/zero")}
        with ExitStack() as stack:
            images = {name: os.open(path, os.O_RDONLY) for name, path in left.items()}
            for fd in images.values():
                stack.callback(os.close, fd)
            for at in range(0, self._story.image, _STEP):
                length = min(_STEP, self._story.image - at)
                here = os.pread(opened[drive], length, start + at)
                images = {name: fd for name, fd in images.items() if os.pread(fd, length, at) == here}
                if not images:
                    return ""
            return next(iter(images))


class _Opened(dict[str, int]):
    """Descriptors of the drives, by name."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        super().__init__()
        self._directory, self._stack = directory, stack

    def __missing__(self, name: str) -> int:
        self[name] = os.open(self._directory / f"{name}.img", os.O_RDONLY)
        self._stack.callback(os.close, self[name])
        return self[name]
