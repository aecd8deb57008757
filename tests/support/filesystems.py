"""Images of every type, made by the field's own programs, each with one file ``marker`` in it; and how to look into a slot."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from support.disks import mounted, run
from support.handling import MIB, archive, entry

MARKER = random.Random(7).randbytes(300_000)


def make_images(directory: Path) -> Mapping[str, bytes]:
    """One image of each type that a block device can hold, by type; ``emptyfs`` has none."""
    tree = directory / "tree"
    tree.mkdir(parents=True)
    (tree / "marker").write_bytes(MARKER)
    ext4, vfat, squashfs, erofs = (directory / name for name in ("ext4", "vfat", "squashfs", "erofs"))
    sized(ext4, 8 * MIB)
    run("mkfs.ext4", "-q", "-F", "-d", tree, ext4)
    sized(vfat, 2 * MIB)
    run("mkfs.vfat", vfat)
    run("mcopy", "-i", vfat, tree / "marker", "::marker")
    run("mksquashfs", tree, squashfs, "-quiet", "-no-progress")
    run("mkfs.erofs", "--quiet", erofs, tree)
    return {
        "raw": random.Random(8).randbytes(3 * MIB + 100),
        **{path.name: path.read_bytes() for path in (ext4, vfat, squashfs, erofs)},
        "ubifs": random.Random(9).randbytes(MIB),
        "tar": archive((entry("marker", uid=7, mode=0o640), MARKER)),
        "emptyfs": b"",
    }


def sized(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def marker_in(device: str, kind: str, where: Path) -> bytes:
    """The marker in a file system; FAT is read by mtools, because not every kernel has it."""
    if kind == "vfat":
        run("fsck.vfat", "-n", device)
        out = where.with_suffix(".marker")
        run("mcopy", "-n", "-i", device, "::marker", out)
        return out.read_bytes()
    if kind == "ext4":
        run("e2fsck", "-f", "-n", device)
    with mounted(device, where, "-t", kind, "-o", "ro"):
        return (where / "marker").read_bytes()
