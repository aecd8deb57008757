"""The structures of a squashfs 4.0 file system as frozen values. Pure: bytes in, values out; nothing is read here.

Source: the kernel's ``fs/squashfs/squashfs_fs.h`` and ``Documentation/filesystems/squashfs.rst``. Everything is little
endian. Every count and size is capped before anything is allocated for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.errors import BundleError

SUPERBLOCK = 96  # bytes
METADATA_BLOCK = 8192  # bytes of one metadata block when unpacked
MAX_DIRECTORY = 1 << 20  # bytes of the top directory's listing: some 30 000 names
MAX_BLOCKS = 1 << 20  # data blocks of one file: 4 GiB with blocks of 4 KiB, 128 GiB with the usual 128 KiB
NO_FRAGMENT = 0xFFFF_FFFF
NO_TABLE = 0xFFFF_FFFF_FFFF_FFFF
DIRECTORY, REGULAR = 1, 2  # basic inode types; the extended ones are these plus 7

_SUPERBLOCK = struct.Struct("<IIIIIHHHHHHQQQQQQQQ")
_DIRECTORY_BASIC = struct.Struct("<16xIIHHI")  # block, links, size, offset, parent
_DIRECTORY_LONG = struct.Struct("<16xIIIIHHI")  # links, size, block, parent, index count, offset, xattr
_FILE_BASIC = struct.Struct("<16xIIII")  # blocks start, fragment, offset in it, size
_FILE_LONG = struct.Struct("<16xQQQIIII")  # blocks start, size, sparse, links, fragment, offset in it, xattr
_MODE = struct.Struct("<2xH")  # permissions, of every kind of inode
_LISTING_HEADER = struct.Struct("<III")  # count - 1, inode block, inode number
_LISTING_ENTRY = struct.Struct("<HhHH")  # inode offset, inode number difference, type, name length - 1
_FRAGMENT = struct.Struct("<QII")  # start, stored size, unused
_HEADS = {1: _DIRECTORY_BASIC.size, 2: _FILE_BASIC.size, 8: _DIRECTORY_LONG.size, 9: _FILE_LONG.size}


@dataclass(frozen=True, slots=True)
class Superblock:
    """Where the tables lie; all positions are bytes from the start of the file system."""

    block_size: int
    compressor: int
    fragments: int
    root: int
    used: int
    inodes: int
    directories: int
    fragment_index: int


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory inode: where its listing lies in the directory table, and its length in bytes."""

    block: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Regular:
    """A file inode without its block list.

    Attributes:
        head: bytes of the inode before the block list.
        start: position of the first data block.
        size: bytes of the file.
        blocks: data blocks of the file; its tail may lie in a fragment instead.
        fragment: number of the fragment that holds the tail, or ``NO_FRAGMENT``.
        offset: where the tail starts in the unpacked fragment.
        mode: permission bits.
    """

    head: int
    start: int
    size: int
    blocks: int
    fragment: int
    offset: int
    mode: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a directory: the inode's reference (table offset << 16 | offset in the block) and basic type."""

    name: str
    inode: int
    kind: int


def invalid(details: str) -> BundleError:
    """Makes the error for a file system that breaks its own format."""
    return BundleError(
        "bundle.squashfs-invalid",
        "the bundle's content is not a valid squashfs",
        details=details,
        resolution="build the bundle again with mksquashfs 4.0 or later",
    )


def parse_superblock(data: bytes, available: int) -> Superblock:
    """Reads the superblock.

    Args:
        data: the first ``SUPERBLOCK`` bytes.
        available: bytes of the payload; the file system must fit into it.

    Raises:
        BundleError: ``bundle.squashfs-invalid``.
    """
    if len(data) != SUPERBLOCK:
        raise invalid("the superblock is cut off")
    (
        magic, _inode_count, _time, block_size, fragments, compressor, block_log, _flags, _ids, major, minor,
        root, used, _id_table, _xattrs, inodes, directories, fragment_index, _export,
    ) = _SUPERBLOCK.unpack(data)  # fmt: skip
    if magic != 0x7371_7368:
        raise invalid("the magic number is missing")
    if (major, minor) != (4, 0):
        raise invalid(f"version {major}.{minor}")
    if not 12 <= block_log <= 20 or block_size != 1 << block_log:
        raise invalid(f"block size {block_size}")
    if used > available:
        raise invalid(f"it claims {used} bytes, but there are {available}")
    if not SUPERBLOCK <= inodes < directories < used:
        raise invalid("the tables are out of order")
    if fragments and not directories < fragment_index < used:
        raise invalid("the fragment table is out of place")
    return Superblock(block_size, compressor, fragments, root, used, inodes, directories, fragment_index)


def inode_kind(data: bytes) -> int:
    """The type of the inode that starts here: basic 1 to 7, extended 8 to 14."""
    return int.from_bytes(data[:2], "little")


def head_length(kind: int) -> int:
    """Bytes of the fixed part of an inode that we read; raises ``bundle.squashfs-invalid`` for other types."""
    if kind not in _HEADS:
        raise invalid(f"inode type {kind} where a file or directory should be")
    return _HEADS[kind]


def parse_directory_inode(data: bytes) -> Directory:
    """Reads a basic or extended directory inode; raises ``bundle.squashfs-invalid``."""
    kind = inode_kind(data)
    if kind == DIRECTORY:
        block, _links, size, offset, _parent = _unpack(_DIRECTORY_BASIC, data, 0)
    elif kind == DIRECTORY + 7:
        _links, size, block, _parent, _count, offset, _xattr = _unpack(_DIRECTORY_LONG, data, 0)
    else:
        raise invalid(f"inode type {kind} where a directory should be")
    length = size - 3  # the format counts "." and ".."
    if not 0 <= length <= MAX_DIRECTORY:
        raise invalid(f"a directory of {size} bytes")
    return Directory(block, offset, length)


def parse_file_inode(data: bytes, block_size: int) -> Regular:
    """Reads the fixed part of a basic or extended file inode; raises ``bundle.squashfs-invalid``."""
    kind = inode_kind(data)
    if kind == REGULAR:
        start, fragment, offset, size = _unpack(_FILE_BASIC, data, 0)
        head = _FILE_BASIC.size
    elif kind == REGULAR + 7:
        start, size, _sparse, _links, fragment, offset, _xattr = _unpack(_FILE_LONG, data, 0)
        head = _FILE_LONG.size
    else:
        raise invalid(f"inode type {kind} where a file should be")
    blocks, tail = divmod(size, block_size)
    if fragment == NO_FRAGMENT:
        blocks += tail > 0
    elif tail == 0 or offset + tail > block_size:
        raise invalid("a file's tail does not fit its fragment")
    if blocks > MAX_BLOCKS:
        raise invalid(f"a file of {size} bytes in blocks of {block_size}: more than {MAX_BLOCKS} blocks")
    (mode,) = _unpack(_MODE, data, 0)
    return Regular(head, start, size, blocks, fragment, offset, mode & 0o7777)


def parse_listing(data: bytes) -> Iterator[Entry]:
    """Yields the names of a directory in their order; raises ``bundle.squashfs-invalid``."""
    position = 0
    while position < len(data):
        count, block, _number = _unpack(_LISTING_HEADER, data, position)
        position += _LISTING_HEADER.size
        if count > 255:
            raise invalid(f"{count + 1} names under one directory header")
        for _ in range(count + 1):
            offset, _difference, kind, last = _unpack(_LISTING_ENTRY, data, position)
            position += _LISTING_ENTRY.size
            name = data[position : position + last + 1]
            position += last + 1
            if last > 255 or len(name) != last + 1:
                raise invalid("a name is too long")
            if b"/" in name or b"\0" in name or name in (b".", b".."):
                raise invalid(f"the name {name!r}")
            yield Entry(name.decode("utf-8", "surrogateescape"), block << 16 | offset, kind)


def parse_fragment(data: bytes) -> tuple[int, int]:
    """Returns the position and the size word of a fragment block."""
    start, word, _unused = _unpack(_FRAGMENT, data, 0)
    return start, word


def stored_size(word: int, block_size: int) -> tuple[int, bool]:
    """Takes a block's size word apart: bytes in the file system (0 is a hole) and whether they are compressed."""
    size = word & 0xFF_FFFF
    if size > block_size or word >> 25:
        raise invalid(f"the block size word {word:#x}")
    return size, not word & 1 << 24


def _unpack(layout: struct.Struct, data: bytes, position: int) -> tuple[int, ...]:
    if position + layout.size > len(data):
        raise invalid("a table is cut off")
    return layout.unpack_from(data, position)
