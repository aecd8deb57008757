"""Recordings that are made by hand, with the formats of real ones: for what the replay must find, and must not."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from random import Random

from support.disks import run

from bootloader_env import uboot_format
from torture.medium import SECTOR, Region, mark_of
from torture.story import Copy, Drive, Story, Told
from torture.writelog import FLUSH, MAGIC, VERSION

MIB = 1024 * 1024
IMAGE, COPY = 256 * 1024, 8192  # bytes of an image, and of a copy of the environment
_STARTS = {"rootfs-a": 1, "rootfs-b": 2, "data": 3}  # MiB
_DISK = 12  # MiB
DOCUMENTS: Mapping[str, object] = {"record": {"state": "activating"}, "facts": {"floor": ""}}


class Recorded:
    """A device with two drives, of which a recording is written by hand: a disk with a cache, and a card with the environment.

    Args:
        directory: for the recording.
        documents: of the agent.
        cached: whether the card has a cache, too.
    """

    def __init__(self, directory: Path, documents: Mapping[str, object] = DOCUMENTS, *, cached: bool = False) -> None:
        self.directory, self._cached = directory, cached
        directory.mkdir()
        self.old, self.new = Random("old").randbytes(IMAGE), Random("new").randbytes(IMAGE)
        self._logs, self._counts = {"disk": b"", "card": b""}, {"disk": 0, "card": 0}
        self._trace: list[str] = []
        self._told: list[Told] = [Told(0.0, "RUNNING")]
        self._time, self._generation = 1000.0, 1
        self._disk(documents)
        full = {"BOOT_ORDER": "A", "BOOT_A_LEFT": "3"}
        (directory / "card.base").write_bytes(bytes(COPY) + _encoded(full, 1))

    def _disk(self, documents: Mapping[str, object]) -> None:
        tree, data, disk = self.directory / "tree", self.directory / "data.img", self.directory / "disk.base"
        (tree / "ota").mkdir(parents=True)
        for name, values in documents.items():
            text = values if isinstance(values, str) else json.dumps(values)
            (tree / "ota" / f"{name}.json").write_text(text)
        run("mkfs.ext4", "-q", "-F", "-d", tree, data, "8M")
        with disk.open("wb") as file:
            file.truncate(_DISK * MIB)
        lines = [f"start={at}MiB, size={8 if name == 'data' else 1}MiB, name={name}" for name, at in _STARTS.items()]
        run("sfdisk", "--quiet", disk, text="label: gpt\n" + "\n".join(lines) + "\n")
        with disk.open("r+b") as file:
            for at, content in ((1, self.old), (3, data.read_bytes())):
                file.seek(at * MIB)
                file.write(content)
        data.unlink()
        shutil.rmtree(tree)

    # What happens.

    def write_slot(self, begin: int = 0, end: int = IMAGE, step: int = 64 * 1024) -> None:
        """The new image goes into slot B."""
        for at in range(begin, end, step):
            self._entry("disk", 2 * MIB + at, self.new[at : at + step])

    def flush(self, drive: str = "disk") -> None:
        """What was written to a drive is on its medium."""
        self._entry(drive, 0, b"", FLUSH)

    def save(self, variables: Mapping[str, str], *, in_place: bool = False, parts: int = 1) -> None:
        """Somebody writes the environment: the copy that is not in use, or the other, which should not be."""
        self._generation += 1
        data = _encoded(variables, self._generation)
        at = COPY * ((self._generation + in_place) % 2)
        for part in range(parts):
            begin, end = part * COPY // parts, (part + 1) * COPY // parts
            self._entry("card", at + begin, data[begin:end])

    def tell(self, status: str) -> None:
        """The device tells the server how the action stands."""
        self._time += 1
        self._told.append(Told(self._time, status, len(self._told)))

    def _entry(self, drive: str, offset: int, data: bytes, flags: int = 0) -> None:
        self._time += 1
        header = SECTOR + len(self._logs[drive])
        node = {"disk": "0xd", "card": "0xc"}[drive]
        size = SECTOR + len(data)
        self._trace.append(
            f"7@{self._time:.6f}:bdrv_co_pwritev_part bs {node} offset {header} bytes {size} flags 0x0\n"
        )
        head = struct.pack("<QQQQ", offset // SECTOR, len(data) // SECTOR, flags, 0)
        self._logs[drive] += head.ljust(SECTOR, b"\0") + data
        self._counts[drive] += 1

    def done(self, floor: str = "") -> Path:
        """Writes the recording; returns its directory."""
        for name, log in self._logs.items():
            head = struct.pack("<QQQI", MAGIC, VERSION, self._counts[name], SECTOR)
            (self.directory / f"{name}.log").write_bytes(head.ljust(SECTOR, b"\0") + log)
        (self.directory / "trace").write_text("".join(self._trace))
        whole = {"old": mark_of(self.old), "new": mark_of(self.new), "before": 0}
        story = Story(
            board="synthetic", scenario="healthy", format="uboot-redundant",
            drives=(Drive("disk"), Drive("card", self._cached, (Region("card", 0, 2 * COPY),))),
            copies=(Copy("card", 0, COPY), Copy("card", COPY, COPY)),
            slots={"A": "rootfs-a", "B": "rootfs-b"}, old="A", new="B", image=IMAGE, whole=whole, state="ota",
            floor=floor, outcome="FINISHED", told=tuple(self._told),
        )  # fmt: skip
        story.save(self.directory)
        return self.directory

    def update(self) -> None:
        """A whole update as it should be, from the first byte in the slot to the word of its success."""
        self.write_slot()
        self.flush()
        self.activate()
        self.confirm()
        self.tell("FINISHED")
        self.flush()

    def activate(self) -> None:
        """The switch, and the boot script's counting."""
        switched = {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3", "OTA_TRIAL": "B,1,abc"}
        self.save(switched)
        self.save({**switched, "BOOT_B_LEFT": "2"})

    def confirm(self) -> None:
        """The new system is marked good."""
        self.save({"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"})


def _encoded(variables: Mapping[str, str], flags: int) -> bytes:
    # What stands behind a value moves when the value gets longer, so that several sectors of a copy differ.
    values = {**variables, "bootcmd": "x" * 40 + Random(1).randbytes(3000).hex()}
    entries = tuple(f"{name}={value}".encode() for name, value in values.items())
    return uboot_format.encode(entries, COPY, flags=flags)
