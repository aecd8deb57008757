"""The files of a bundle: a read-only squashfs 4.0 in user space, over any Source.

It reads the names in the top directory and the content of the regular files there, which is all that a bundle of images
needs. Directories, symbolic links and devices are listed but cannot be opened. A file's data blocks are read with one
sequential stream, so that a remote bundle costs one request per file. Nothing is mounted and nothing is written.

The bytes come from a Source that has checked them already; even so, nothing here trusts a size, a count or a position.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from itertools import islice

from agent.bundle import squashfs_format as fmt
from agent.bundle.compression import Decompress, decompressor
from agent.bundle.source import Source
from agent.bundle.squashfs_data import Block, unpack, unpacked
from agent.errors import BundleError

_WINDOW = 64 * 1024  # bytes read ahead among the tables, which lie together at the end
_KEPT_BLOCKS = 16  # unpacked metadata blocks that are kept


class SquashFS:
    """An opened file system.

    Args:
        payload: the bytes of the file system; anything after its own end is padding.
        backend: which zstd implementation to use, see ``compression.decompressor``.

    Raises:
        BundleError: ``bundle.squashfs-invalid``, ``bundle.squashfs-unsupported``.
    """

    def __init__(self, payload: Source, *, backend: str = "") -> None:
        if payload.size < fmt.SUPERBLOCK:
            raise fmt.invalid(f"only {payload.size} bytes")
        self._payload = payload
        self._super = fmt.parse_superblock(payload.read_at(0, fmt.SUPERBLOCK), payload.size)
        self._decompress = decompressor(self._super.compressor, backend)
        self._tables = _Tables(payload, self._super.used, self._decompress)
        self._entries = self._read_top_directory()

    @property
    def block_size(self) -> int:
        """Bytes of a data block: what ``blocks`` yields, and the unit of its ``start``."""
        return self._super.block_size

    def listdir(self) -> tuple[str, ...]:
        """The names in the top directory, of every kind of file."""
        return tuple(self._entries)

    def open(self, name: str) -> SquashFile:
        """Opens a regular file of the top directory.

        Raises:
            BundleError: ``bundle.file-missing``, ``bundle.file-not-regular``, ``bundle.squashfs-invalid``.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise BundleError(
                "bundle.file-missing",
                "a file is missing from the bundle",
                details=name[:200],
                resolution="build the bundle again with all the files that its manifest names",
            )
        if entry.kind != fmt.REGULAR:
            raise BundleError(
                "bundle.file-not-regular",
                "a name in the bundle stands for something else than a regular file",
                details=f"{name[:200]} has type {entry.kind}",
                resolution="put the image itself into the bundle instead of a link or a directory",
            )
        return self._open_inode(entry.inode)

    def _open_inode(self, reference: int) -> SquashFile:
        head = self._inode_head(reference)
        inode = fmt.parse_file_inode(head, self.block_size)
        table = self._super.inodes
        listed = self._tables.read(table, self._super.directories, reference, inode.head + 4 * inode.blocks)
        words = array("I")
        words.frombytes(memoryview(listed)[inode.head :])
        if sys.byteorder == "big":
            words.byteswap()
        end = inode.start + sum(fmt.stored_size(word, self.block_size)[0] for word in words)
        if inode.blocks and not fmt.SUPERBLOCK <= inode.start <= end <= table:
            raise fmt.invalid("a file's data lies outside the data area")
        tail = self._fragment(inode) if inode.fragment != fmt.NO_FRAGMENT else None
        return SquashFile(self._payload, self._decompress, self.block_size, inode, words, tail)

    def _inode_head(self, reference: int) -> bytes:
        """The inode's fixed part, or what there is of it before the end of the table."""
        table, end = self._super.inodes, self._super.directories
        kind = fmt.inode_kind(self._tables.read(table, end, reference, 2))
        return self._tables.read(table, end, reference, fmt.head_length(kind))

    def _read_top_directory(self) -> dict[str, fmt.Entry]:
        top = fmt.parse_directory_inode(self._inode_head(self._super.root))
        reference = top.block << 16 | top.offset
        listing = self._tables.read(self._super.directories, self._super.used, reference, top.length)
        entries: dict[str, fmt.Entry] = {}
        for entry in fmt.parse_listing(listing):
            if entry.name in entries:
                raise fmt.invalid(f"the name {entry.name!r} appears twice")
            entries[entry.name] = entry
        return entries

    def _fragment(self, inode: fmt.Regular) -> tuple[int, int]:
        """Finds the fragment block that holds a file's tail: its position and size word."""
        if inode.fragment >= self._super.fragments:
            raise fmt.invalid(f"fragment {inode.fragment} of {self._super.fragments}")
        page, entry = divmod(inode.fragment, 512)  # entries of 16 bytes, 512 to a metadata block
        where = self._tables.raw(self._super.fragment_index + 8 * page, 8)
        position = int.from_bytes(where, "little")
        data = self._tables.read(position, self._super.used, 16 * entry, 16)
        start, word = fmt.parse_fragment(data)
        size, _packed = fmt.stored_size(word, self.block_size)
        if not size or not fmt.SUPERBLOCK <= start <= self._super.inodes - size:
            raise fmt.invalid("a fragment lies outside the data area")
        return start, word


class SquashFile:
    """A regular file of the bundle. Made by ``SquashFS.open``."""

    def __init__(
        self,
        payload: Source,
        decompress: Decompress,
        block_size: int,
        inode: fmt.Regular,
        words: array[int],
        tail: tuple[int, int] | None,
    ) -> None:
        self._payload = payload
        self._decompress = decompress
        self._block_size = block_size
        self._inode = inode
        self._words = words
        self._tail = tail

    @property
    def size(self) -> int:
        """Length in bytes. Holes are free, so this says nothing about the bundle's size: compare it before reading."""
        return self._inode.size

    @property
    def executable(self) -> bool:
        """Whether its owner may execute it."""
        return bool(self._inode.mode & 0o100)

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """Yields the content from ``start`` on, in pieces of the block size (the last one may be shorter).

        Args:
            start: a byte offset within the file that is a multiple of ``SquashFS.block_size``.

        Raises:
            BundleError: ``bundle.squashfs-invalid``, or whatever the payload raises.
            ValueError: ``start`` is not a block border within the file.
        """
        if start % self._block_size or not 0 <= start <= self.size:
            raise ValueError(f"{start} is no block border of a file of {self.size} bytes")
        return self._from(start // self._block_size)

    def read(self, limit: int) -> bytes:
        """Returns the whole content; raises BundleError ``bundle.file-too-large`` above ``limit`` bytes."""
        if self.size > limit:
            raise BundleError(
                "bundle.file-too-large",
                "a file in the bundle is too large",
                details=f"{self.size} bytes, but at most {limit} are allowed",
            )
        return b"".join(self.blocks())

    def _from(self, first: int) -> Iterator[bytes]:
        begin = self._inode.start + self._stored(0, first)
        pieces = self._payload.stream(begin, self._stored(first, len(self._words)))
        if first < len(self._words):
            yield from unpacked(self._blocks(first), pieces, self._decompress, self._block_size)
        if self._tail:
            yield self._read_tail(*self._tail)

    def _stored(self, first: int, last: int) -> int:
        """Bytes that the blocks from ``first`` up to ``last`` take in the file system."""
        return sum(fmt.stored_size(word, self._block_size)[0] for word in islice(self._words, first, last))

    def _blocks(self, first: int) -> Iterator[Block]:
        for number in range(first, len(self._words)):
            stored, packed = fmt.stored_size(self._words[number], self._block_size)
            yield Block(stored, packed, min(self._block_size, self.size - number * self._block_size))

    def _read_tail(self, start: int, word: int) -> bytes:
        size, packed = fmt.stored_size(word, self._block_size)
        data = self._payload.read_at(start, size)
        if packed:
            data = self._decompress(data, self._block_size)
        offset, length = self._inode.offset, self.size % self._block_size
        return unpack(data[offset : offset + length], False, length, self._decompress)


class _Tables:
    """The metadata: a chain of blocks of at most 8 KiB, each with its packed size in front."""

    def __init__(self, payload: Source, end: int, decompress: Decompress) -> None:
        self._payload = payload
        self._end = end
        self._decompress = decompress
        self._window = (0, b"")
        self._kept: dict[int, tuple[bytes, int]] = {}

    def raw(self, position: int, length: int) -> bytes:
        """Returns stored bytes, reading ahead; raises ``bundle.squashfs-invalid`` beyond the end."""
        if not 0 <= position <= self._end - length:
            raise fmt.invalid("a table lies outside the file system")
        start, data = self._window
        if not start <= position <= start + len(data) - length:
            start, data = position, self._payload.read_at(position, min(_WINDOW, self._end - position))
            self._window = (start, data)
        return data[position - start : position - start + length]

    def read(self, table: int, end: int, reference: int, length: int) -> bytes:
        """Returns ``length`` unpacked bytes.

        Args:
            table: where the table starts.
            end: where it ends at the latest.
            reference: offset of the first block from there << 16 | offset in that block when unpacked.
            length: bytes; the caller has capped it.

        Raises:
            BundleError: ``bundle.squashfs-invalid``.
        """
        position, offset = table + (reference >> 16), reference & 0xFFFF
        found: list[bytes] = []
        while length:
            if position >= end:
                raise fmt.invalid("a table ends early")
            block, position = self._block(position)
            part = block[offset : offset + length]
            if not part:
                raise fmt.invalid("a reference points outside its block")
            found.append(part)
            length -= len(part)
            offset = 0
            if length and len(block) != fmt.METADATA_BLOCK:  # else 4 MiB could come in pieces of one byte
                raise fmt.invalid(f"a metadata block of {len(block)} bytes that is not the last")
        return b"".join(found)

    def _block(self, position: int) -> tuple[bytes, int]:
        """Returns an unpacked block and the position of the next."""
        if position in self._kept:
            return self._kept[position]
        word = int.from_bytes(self.raw(position, 2), "little")
        size = word & 0x7FFF
        if not 0 < size <= fmt.METADATA_BLOCK:
            raise fmt.invalid(f"a metadata block of {size} bytes")
        data = self.raw(position + 2, size)
        if not word & 0x8000:
            data = self._decompress(data, fmt.METADATA_BLOCK)
        if len(self._kept) >= _KEPT_BLOCKS:
            self._kept.clear()
        self._kept[position] = (data, position + 2 + size)
        return self._kept[position]
