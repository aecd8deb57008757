"""Where the numbers of a squashfs image with unpacked tables lie, for a mutator that aims.

Source: the kernel's ``fs/squashfs/squashfs_fs.h``. The image must have been made with ``-noI -noF -no-xattrs``.
"""

from __future__ import annotations

import functools
import random
import struct
from collections.abc import Iterator

from fuzz.mutate import change_bytes, edge

_SUPERBLOCK = (4, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 8, 8, 8, 8, 8, 8, 8, 8)
_INODE = (2, 2, 2, 2, 4, 4)
_INODES = {1: (4, 4, 2, 2, 4), 2: (4, 4, 4, 4), 8: (4, 4, 4, 4, 2, 2, 4), 9: (8, 8, 8, 4, 4, 4, 4)}
_HEADER, _ENTRY = (4, 4, 4), (2, 2, 2, 2)

Field = tuple[int, int]


class _Table:
    """A chain of unpacked metadata blocks, seen as one run of bytes that knows where each of them is stored."""

    def __init__(self, image: bytes, start: int, end: int) -> None:
        self.headers: list[Field] = []
        self._image = image
        self._places: list[int] = []
        while start + 2 <= min(end, len(image)):
            word = int.from_bytes(image[start : start + 2], "little")
            size = word & 0x7FFF
            if not word & 0x8000 or not 0 < size <= min(8192, len(image) - start - 2):
                break
            self.headers.append((start, 2))
            self._places.extend(range(start + 2, start + 2 + size))
            start += 2 + size

    def __len__(self) -> int:
        return len(self._places)

    def number(self, at: int, width: int) -> int:
        return int.from_bytes(bytes(self._image[place] for place in self._places[at : at + width]), "little")

    def fields(self, at: int, widths: tuple[int, ...]) -> Iterator[Field]:
        for width in widths:
            places = self._places[at : at + width]
            if len(places) == width and places[-1] == places[0] + width - 1:
                yield places[0], width
            at += width


@functools.lru_cache(maxsize=32)
def fields_of(image: bytes) -> list[Field]:
    """Returns position and width of every number that can be found; of a damaged image, those before the damage."""
    found: list[Field] = []
    at = 0
    for width in _SUPERBLOCK:
        found.append((at, width))
        at += width
    if len(image) < at:
        return []
    inodes, directories, fragments, _export = struct.unpack_from("<QQQQ", image, 64)
    block_size = int.from_bytes(image[12:16], "little") or 1
    found += _inodes(_Table(image, inodes, directories), block_size)
    found += _listings(_Table(image, directories, min(fragments, len(image))))
    if fragments + 8 <= len(image):
        found.append((fragments, 8))
        table = _Table(image, int.from_bytes(image[fragments : fragments + 8], "little"), fragments)
        found += table.headers
        for entry in range(0, len(table), 16):
            found += table.fields(entry, (8, 4, 4))
    return found


def _inodes(table: _Table, block_size: int) -> Iterator[Field]:
    yield from table.headers
    at = 0
    while at < len(table):
        kind = table.number(at, 2)
        if kind not in _INODES:
            return
        widths = (*_INODE, *_INODES[kind])
        if kind in (2, 9):
            size, fragment = (table.number(at + 28, 4), at + 20) if kind == 2 else (table.number(at + 24, 8), at + 44)
            whole = table.number(fragment, 4) == 0xFFFF_FFFF
            widths += (4,) * min(1000, -(-size // block_size) if whole else size // block_size)
        yield from table.fields(at, widths)
        at += sum(widths)


def _listings(table: _Table) -> Iterator[Field]:
    yield from table.headers
    at = 0
    while at < len(table):
        yield from table.fields(at, _HEADER)
        count = table.number(at, 4) + 1
        at += 12
        for _ in range(min(count, 256)):
            yield from table.fields(at, _ENTRY)
            at += 8 + table.number(at + 6, 2) + 1


def change_fields(image: bytes, chooser: random.Random) -> bytes:
    """Gives one to three numbers another value, often one that another number has."""
    places = fields_of(image) if chooser.random() < 0.9 else []
    if not places:
        return change_bytes(image, chooser)
    out = bytearray(image)
    for _ in range(chooser.choice((1, 1, 1, 2, 3))):
        at, width = chooser.choice(places)
        other, size = chooser.choice(places)
        around = (int.from_bytes(out[at : at + width], "little"), int.from_bytes(out[other : other + size], "little"))
        out[at : at + width] = edge(chooser, width, around).to_bytes(width, "little")
    return bytes(out)
