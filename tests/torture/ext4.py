"""Files of an ext4 file system as they are found at the next mount, its journal applied, without mounting it. Pure, read only.

What is known: extents, both sizes of group descriptors, directories with and without an index, links within the inode. Source:
Linux' ``Documentation/filesystems/ext4/``. Numbers are little-endian, other than in the journal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from torture.journal import Copy, NotAJournal, recovered

_MAGIC = 0xEF53
_ROOT, _JOURNAL = 2, 8  # numbers of inodes
_INCOMPAT = 0x2 | 0x4 | 0x40 | 0x80 | 0x200 | 0x2000  # filetype, recover, extents, 64bit, flex_bg, csum_seed
_EXTENTS, _EXTENT_MAGIC, _UNWRITTEN = 0x80000, 0xF30A, 32768
_DIRECTORY, _REGULAR = 0x4000, 0x8000

Read = Callable[[int, int], bytes]  # offset, length


class NotReadable(Exception):
    """The file system cannot be read: damaged, or of a kind that is not known here."""


@dataclass(frozen=True, slots=True)
class _Inode:
    mode: int
    size: int
    flags: int
    block: bytes

    @property
    def kind(self) -> int:
        return self.mode & 0xF000


class Ext4:
    """A file system.

    Args:
        read: gives bytes of the partition.

    Raises (every method, too):
        NotReadable: see there.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        sb = read(1024, 1024)
        if int.from_bytes(sb[0x38:0x3A], "little") != _MAGIC:
            raise NotReadable("it has no superblock")
        (incompat,) = struct.unpack_from("<I", sb, 0x60)
        if incompat & ~_INCOMPAT:
            raise NotReadable(f"features {incompat:#x}")
        self._size = 1024 << int.from_bytes(sb[0x18:0x1C], "little")
        (self._first,) = struct.unpack_from("<I", sb, 0x14)
        (self._inodes_per_group,) = struct.unpack_from("<I", sb, 0x28)
        (self._inode_size,) = struct.unpack_from("<H", sb, 0x58)
        self._descriptor = struct.unpack_from("<H", sb, 0xFE)[0] if incompat & 0x80 else 32
        self._has_journal = bool(struct.unpack_from("<I", sb, 0x5C)[0] & 0x4)
        self._copies: Mapping[int, Copy] = {}
        self._journal_blocks: list[int] = []
        if self._has_journal:
            # Where the journal lies never changes; the inode is read before anything of it is applied.
            self._journal_blocks = list(self._blocks(self._inode(_JOURNAL)))
            try:
                self._copies = recovered(self._journal)
            except (NotAJournal, struct.error) as error:
                raise NotReadable(f"its journal: {error}") from error

    def _journal(self, number: int) -> bytes:
        if number >= len(self._journal_blocks):
            raise NotAJournal(f"block {number} is outside")
        return self._read(self._journal_blocks[number] * self._size, self._size)

    def _block(self, number: int) -> bytes:
        if copy := self._copies.get(number):
            return copy.restored(self._journal(copy.at))
        return self._read(number * self._size, self._size)

    def _inode(self, number: int) -> _Inode:
        group, index = divmod(number - 1, self._inodes_per_group)
        per_block = self._size // self._descriptor
        block = self._block(self._first + 1 + group // per_block)
        at = group % per_block * self._descriptor
        table = int.from_bytes(block[at + 8 : at + 12], "little")
        if self._descriptor > 32:
            table |= int.from_bytes(block[at + 0x28 : at + 0x2C], "little") << 32
        away, at = divmod(index * self._inode_size, self._size)
        raw = self._block(table + away)[at : at + self._inode_size]
        mode, low = struct.unpack_from("<H2xI", raw)
        flags, high = int.from_bytes(raw[0x20:0x24], "little"), int.from_bytes(raw[0x6C:0x70], "little")
        return _Inode(mode, low | high << 32, flags, raw[0x28:0x64])

    def _blocks(self, inode: _Inode) -> Iterator[int]:
        """The blocks of a file in order; 0 for one that reads as zeros."""
        if not inode.flags & _EXTENTS:
            raise NotReadable("a file without extents")
        count, at = -(-inode.size // self._size), 0
        for logical, length, physical in self._extents(inode.block, 0):
            for _ in range(at, min(logical, count)):
                yield 0
            for number in range(max(0, at - logical), min(length, count - logical)):
                yield physical + number if physical else 0
            at = logical + length
        for _ in range(at, count):
            yield 0

    def _extents(self, node: bytes, level: int) -> Iterator[tuple[int, int, int]]:
        magic, count, _, depth = struct.unpack_from("<HHHH", node)
        if magic != _EXTENT_MAGIC or level > 5:
            raise NotReadable("a file whose extents are damaged")
        for at in range(12, 12 + 12 * count, 12):
            if depth:
                low, high = struct.unpack_from("<4xIH", node, at)
                yield from self._extents(self._block(low | high << 32), level + 1)
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", node, at)
                if length > _UNWRITTEN:
                    yield logical, length - _UNWRITTEN, 0
                else:
                    yield logical, length, low | high << 32

    def _data(self, inode: _Inode) -> bytes:
        blocks = (self._block(number) if number else bytes(self._size) for number in self._blocks(inode))
        return b"".join(blocks)[: inode.size]

    def _names(self, inode: _Inode) -> dict[str, int]:
        data, found = self._data(inode), {}
        for base in range(0, len(data), self._size):
            at = base
            while at < base + self._size - 8:
                number, length, size = struct.unpack_from("<IHB", data, at)
                if length < 8 or at + length > base + self._size:
                    raise NotReadable("a directory that is damaged")
                if number:
                    found[data[at + 8 : at + 8 + size].decode("utf-8", "surrogateescape")] = number
                at += length
        return found

    @cached_property
    def _top(self) -> dict[str, int]:
        return self._names(self._inode(_ROOT))

    def _find(self, path: str) -> int:
        names, number = self._top, _ROOT
        for word in filter(None, path.split("/")):
            if word not in names:
                return 0
            number = names[word]
            inode = self._inode(number)
            names = self._names(inode) if inode.kind == _DIRECTORY else {}
        return number

    def tree(self, path: str) -> dict[str, bytes]:
        """Every regular file below a directory, by its path from there; nothing when it is not there."""
        number = self._find(path)
        return dict(self._walk(self._inode(number), "")) if number else {}

    def _walk(self, directory: _Inode, prefix: str) -> Iterator[tuple[str, bytes]]:
        for name, number in self._names(directory).items():
            if name in (".", ".."):
                continue
            inode = self._inode(number)
            if inode.kind == _DIRECTORY:
                yield from self._walk(inode, f"{prefix}{name}/")
            elif inode.kind == _REGULAR:
                yield prefix + name, self._data(inode)
