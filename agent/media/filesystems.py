"""Which file system a device holds, by its magic numbers, and how each is mounted without writing to it. Pure.

Asking every driver in turn would let a stranger's stick reach all of them, and fill the kernel's log with their complaints.
"""

from __future__ import annotations

from collections.abc import Mapping

HEAD = 64 * 1024  # bytes that ``kind_of`` wants; the last magic number is at 0x9001

# Kind, offset and bytes. FAT has no magic number of its own: the text in front of it is what mkfs.fat and Windows write.
_MAGIC: tuple[tuple[str, int, bytes], ...] = (
    ("squashfs", 0, b"hsqs"),
    ("exfat", 3, b"EXFAT   "),
    ("ntfs3", 3, b"NTFS    "),
    ("ext4", 0x438, b"\x53\xef"),  # ext2 and ext3 too, which the same driver mounts
    ("erofs", 0x400, b"\xe2\xe1\xf5\xe0"),
    ("vfat", 82, b"FAT32   "),
    ("vfat", 54, b"FAT16   "),
    ("vfat", 54, b"FAT12   "),
    ("udf", 0x8801, b"NSR02"),  # ECMA-167; a bridge disc is ISO 9660 as well, but without its large files
    ("udf", 0x8801, b"NSR03"),
    ("udf", 0x9001, b"NSR02"),
    ("udf", 0x9001, b"NSR03"),
    ("iso9660", 0x8001, b"CD001"),
)
_BOOT_SIGNATURE = (0x1FE, b"\x55\xaa")  # without it, what looks like FAT is a leftover

# What keeps a driver from replaying its journal on a medium that is not ours, and from doing what the medium itself wants done
# when it is found damaged: ext4 has the kernel panic for a file system that says so, read-only or not (tune2fs -e panic).
_OPTIONS: Mapping[str, str] = {"ext4": "noload,errors=remount-ro"}


def kind_of(head: bytes) -> str:
    """The file system, as the kernel calls it; empty when there is none that is known here.

    Args:
        head: the first bytes of the device, up to ``HEAD``.
    """
    for kind, offset, magic in _MAGIC:
        if head[offset : offset + len(magic)] != magic:
            continue
        if kind == "vfat" and head[_BOOT_SIGNATURE[0] : _BOOT_SIGNATURE[0] + 2] != _BOOT_SIGNATURE[1]:
            continue
        return kind
    return ""


def options_for(kind: str) -> str:
    """Options for mounting it read-only, separated by commas, beside those of the mount itself."""
    return _OPTIONS.get(kind, "")
