"""Disks of a device, made without mounts or loop devices: a GPT by sfdisk, FAT by mtools, ext4 by mke2fs."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from boot.lab.system import MIB, SLOT_SIZE, format_ext4

SECTOR = 512
_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_TABLE = MIB  # before the first partition, and after the last one


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition.

    Args:
        label: its name in the table.
        size: in bytes, whole MiB.
        kind: GUID of its type.
    """

    label: str
    size: int
    kind: str = _LINUX


@dataclass(frozen=True, slots=True)
class Layout:
    """The partitions of a disk, in their order; they are numbered from 1."""

    partitions: tuple[Partition, ...]

    @property
    def size(self) -> int:
        """Of the disk, in bytes."""
        return 2 * _TABLE + sum(partition.size for partition in self.partitions)

    def number(self, label: str) -> int:
        """Of a partition, as in ``/dev/vda2`` and ``gpt2``."""
        return [partition.label for partition in self.partitions].index(label) + 1

    def offset(self, label: str) -> int:
        """Where it begins, in bytes."""
        return _TABLE + sum(partition.size for partition in self.partitions[: self.number(label) - 1])

    def length(self, label: str) -> int:
        """How long it is, in bytes."""
        return self.partitions[self.number(label) - 1].size


def layout(*, rescue: bool = False, bios: bool = False, data: int = 96 * MIB) -> Layout:
    """The disk of a device with two slots: ``boot``, ``rootfs-a``, ``rootfs-b``, ``data``.

    Args:
        rescue: there is a partition ``rescue`` behind the slots.
        bios: there is a partition ``bios`` at the end for the core of GRUB.
        data: the size of the partition that is ``/var``, in bytes.
    """
    slots = ["rootfs-a", "rootfs-b", *(["rescue"] if rescue else [])]
    return Layout(
        (
            Partition("boot", 32 * MIB, _ESP),
            *(Partition(label, SLOT_SIZE) for label in slots),
            Partition("data", data),
            *([Partition("bios", MIB, _BIOS_BOOT)] if bios else []),
        )
    )


def make_disk(path: Path, of: Layout, contents: Mapping[str, Path]) -> Path:
    """Makes a sparse image of a disk.

    Args:
        path: of the image.
        of: its partitions.
        contents: by label: an image that is put there as it is, or a directory, of which ``boot`` gets a FAT file system and
            each other an ext4 one. ``boot`` and ``data`` get an empty one if they are not named, all others zeros.
    """
    with path.open("wb") as disk:
        disk.truncate(of.size)
    lines = [
        f"start={of.offset(each.label) // SECTOR}, size={each.size // SECTOR}, type={each.kind}, name={each.label}"
        for each in of.partitions
    ]
    _run("sfdisk", "--quiet", path, text="label: gpt\n" + "\n".join(lines) + "\n")
    with tempfile.TemporaryDirectory(prefix=".disk-", dir=path.parent) as directory:
        nothing = Path(directory) / "nothing"
        nothing.mkdir()
        for label, content in {"boot": nothing, "data": nothing, **contents}.items():
            source = content
            if content.is_dir():
                source = Path(directory) / label
                _format(source, of.length(label), content, label)
            put(source, path, of.offset(label), of.length(label))
    return path


def put(source: Path, target: Path, offset: int, room: int) -> None:
    """Copies what is in a file to a place in another one, and leaves out its holes.

    Raises:
        ValueError: it is longer than ``room``, in bytes.
    """
    size = source.stat().st_size
    if size > room:
        raise ValueError(f"{source.name} has {size} bytes, and there is room for {room}")
    with source.open("rb") as reader, target.open("r+b") as writer:
        end = 0
        while end < size:
            try:
                start = os.lseek(reader.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                return
            end = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            _copy(reader.fileno(), writer.fileno(), start, end, offset)


def _copy(reader: int, writer: int, start: int, end: int, offset: int) -> None:
    while start < end:
        start += os.copy_file_range(reader, writer, end - start, start, offset + start)


def _format(path: Path, size: int, tree: Path, label: str) -> None:
    if label != "boot":
        format_ext4(path, size, tree, label=label)
        return
    with path.open("wb") as file:
        file.truncate(size)
    _run("mkfs.vfat", "-F", "16", "-n", "BOOT", path)
    inside = sorted(tree.iterdir())
    if inside:
        _run("mcopy", "-s", "-Q", "-i", path, *inside, "::/")


def _run(*command: str | Path, text: str = "") -> None:
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
