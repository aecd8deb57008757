"""The drives of a machine as they are now, overlays included, read region by region."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from boot.lab.device import Device

from torture.environment import Environment, environment
from torture.judge import Found
from torture.look import documents
from torture.medium import Region
from torture.story import Story

_NOT_READ = "not read"


class Drives:
    """Of a device whose disks are qcow2.

    Args:
        device: on or off; what it has flushed is read.
        story: where everything lies.
        known: what a slot may hold: SHA-256 of the first bytes, as many as an image has, and what it is called.
    """

    def __init__(self, device: Device, story: Story, known: Mapping[str, str]) -> None:
        self._device, self._story, self._known = device, story, known
        layout = device.board.layout
        self._places = {
            each.label: ("disk", layout.offset(each.label), layout.length(each.label)) for each in layout.partitions
        }
        for drive in story.drives:
            self._places |= {region.name: (drive.name, region.start, region.size) for region in drive.regions}

    def environment(self) -> Environment:
        """The boot environment."""
        story = self._story
        regions = {copy.region: self._region(copy.region) for copy in story.copies}

        def read(name: str):  # type: ignore[no-untyped-def]  # a reader of the region
            return lambda offset, length: regions[name][offset : offset + length]

        return environment(story.format, story.copies, read, tuple(story.slots))

    def found(self, *, whole: bool = False) -> Found:
        """What is there; slots are read only where the boot script would start them, or if all of it is wanted."""
        found, data = self.environment(), self._region(self._story.data)
        slots = {
            name: self._slot(label) if whole or name in found.picks else _NOT_READ
            for name, label in self._story.slots.items()
        }
        state = documents(lambda offset, length: data[offset : offset + length], self._story.state)
        return Found(found, slots, state)

    def _slot(self, label: str) -> str:
        content = self._region(label, self._story.image)
        return self._known.get(hashlib.sha256(content).hexdigest(), "")

    def _region(self, name: str, size: int = 0) -> bytes:
        drive, start, length = self._places[name]
        region = Region(name, start, size or length)
        path = self._device.directory / f"{drive}.qcow2"
        source = f"driver=raw,offset={region.start},size={region.size},file.driver=qcow2,file.file.filename={path}"
        with tempfile.TemporaryDirectory(prefix="ota-torture-") as directory:
            target = Path(directory) / "region"
            command = ["qemu-img", "convert", "-U", "--image-opts", source, "-O", "raw", target]
            subprocess.run(command, check=True, capture_output=True)
            return target.read_bytes()
