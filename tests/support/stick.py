"""A USB stick for tests: a loop device of a number that nobody else uses, which is plugged in and pulled for real.

The kernel announces it as it announces every medium: ``change`` of the disk, ``add`` and ``remove`` of partitions. FAT is not
in every kernel, so the sticks have ext4 or squashfs. Needs root.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from support.disks import run
from support.filesystems import sized

MIB = 1024 * 1024
_PATIENCE = 30.0  # seconds until a process that was killed has let go
_CTL_ADD, _CTL_REMOVE = 0x4C80, 0x4C81  # linux/loop.h


class Stick:
    """Out at first.

    Args:
        node: of the loop device.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self._inside: Path | None = None
        self._partitions = False

    def plug(self, image: Path, *, partitions: bool = False) -> None:
        """Plugs a copy of an image in; ``partitions``: it is a disk with some."""
        inside = Path(shutil.copyfile(image, image.with_suffix(".inside")))
        run("losetup", self.node, inside)
        self._inside, self._partitions = inside, partitions
        if partitions:
            run("partx", "--add", self.node)

    def pull(self) -> None:
        """Pulls it without asking anybody: what has not been read yet is not there any more."""
        if self._inside is not None:
            os.truncate(self._inside, 0)  # who still reads gets EIO, as from a stick that is gone
            if self._partitions:
                run("partx", "--delete", self.node)
            run("losetup", "--detach", self.node)
            self._await_free()
            self._inside.unlink()
            self._inside = None

    def _await_free(self) -> None:
        """A loop device is detached when the last one who has it open lets it go."""
        backing = Path("/sys/block", Path(self.node).name, "loop", "backing_file")
        deadline = time.monotonic() + _PATIENCE
        while backing.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.node} is still in use: {backing.read_text()}")
            time.sleep(0.01)


@contextmanager
def stick() -> Iterator[Stick]:
    """A stick that no other test has."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        index = _new(control)
        made = Stick(f"/dev/loop{index}")
        try:
            yield made
        finally:
            made.pull()
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline:
                with suppress(OSError):  # EBUSY while a process that was killed still lets go
                    fcntl.ioctl(control, _CTL_REMOVE, index)
                    break
                time.sleep(0.01)
    finally:
        os.close(control)


def _new(control: int) -> int:
    while True:
        index = random.randrange(1000, 1 << 20)  # a minor number has 20 bits
        with suppress(FileExistsError):
            return int(fcntl.ioctl(control, _CTL_ADD, index))


def image_with(path: Path, files: Mapping[str, Path], kind: str = "ext4") -> Path:
    """The image of a stick with these files.

    Args:
        path: where it is made.
        files: what goes where; of a directory all that is in it.
        kind: ``ext4`` or ``squashfs``.
    """
    tree = path.with_suffix(".tree")
    tree.mkdir()
    for name, source in files.items():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    return image_of(path, tree, kind)


def image_of(path: Path, tree: Path, kind: str = "ext4") -> Path:
    """The image of a stick with everything that is in a directory."""
    if kind == "squashfs":
        run("mksquashfs", tree, path, "-quiet", "-no-progress", "-noappend")
        return path
    size = sum(each.lstat().st_blocks * 512 for each in tree.rglob("*"))
    run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", tree, sized(path, 4 * MIB + size + size // 4))
    return path
