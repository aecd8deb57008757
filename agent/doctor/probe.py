"""What kind of file system bytes are, by the numbers that the kernel and blkid(8) look for. Pure."""

from __future__ import annotations

LENGTH = 8192  # bytes from the start of a device that are needed


def kind_of(head: bytes) -> str:
    """The kind of file system whose first ``LENGTH`` bytes these are: ``blank`` for nothing, empty for something else.

    Sources: the kernel's ``fs/ext4/ext4.h`` (s_magic), ``include/uapi/linux/magic.h``, ``fs/erofs/erofs_fs.h``,
    ``fs/fat/inode.c`` (the jump and the strings of the boot sector), ``fs/ubifs/ubifs-media.h``.
    """
    if head[0x438:0x43A] == b"\x53\xef":
        return "ext4"  # ext2 and ext3 have the same number, and ext4 mounts them
    if head[:4] == b"hsqs":
        return "squashfs"
    if head[0x400:0x404] == b"\xe2\xe1\xf5\xe0":
        return "erofs"
    if head[:4] == b"\x31\x18\x10\x06":
        return "ubifs"
    if head[510:512] == b"\x55\xaa" and (head[0x52:0x57] == b"FAT32" or head[0x36:0x39] == b"FAT"):
        return "vfat"
    if not head.strip(b"\0") or not head.strip(b"\xff"):
        return "blank"
    return ""
