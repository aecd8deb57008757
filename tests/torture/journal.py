"""What the recovery of ext4 takes from its journal (JBD2) at the next mount. Pure. Numbers are big-endian.

The journal is a ring of transactions: descriptor blocks, each followed by the blocks that it names, revoke blocks, and one
commit block. What counts are the transactions from the place in the superblock on, as long as they follow each other and
their commit block is right; the last copy of a block, unless a later transaction revokes it. Source: Linux'
``fs/jbd2/recovery.c`` and ``include/linux/jbd2.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torture.crc32c import crc32c

MAGIC = 0xC03B3998
_DESCRIPTOR, _COMMIT, _REVOKE = 1, 2, 5
_HEADER = struct.Struct(">III")  # magic, type, sequence
_SUPER = struct.Struct(
    ">12xIIIIII4xII"
)  # block size, blocks, first, sequence, start, errno; compat is skipped; incompat
_64BIT, _CSUM_V2, _CSUM_V3, _FAST = 0x2, 0x8, 0x10, 0x20
_ESCAPE, _SAME_UUID, _LAST = 1, 2, 8
_UUID = 16  # bytes

Read = Callable[[int], bytes]  # a block of the journal by its number


class NotAJournal(Exception):
    """The superblock is not one, or has features that are not known here."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Where the journal holds a block of the file system: number in the journal, and whether its first word was escaped."""

    at: int
    escaped: bool

    def restored(self, block: bytes) -> bytes:
        """The block as it belongs into the file system."""
        return MAGIC.to_bytes(4, "big") + block[4:] if self.escaped else block


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the superblock says: block size, length and first block of the ring, and the features."""

    size: int
    length: int
    first: int
    features: int
    seed: int

    @property
    def checked(self) -> bool:
        return bool(self.features & (_CSUM_V2 | _CSUM_V3))

    def after(self, at: int, count: int = 1) -> int:
        at += count
        return at - (self.length - self.first) if at >= self.length else at


def recovered(read: Read) -> Mapping[int, Copy]:
    """The blocks of the file system that the journal replaces, by number; nothing when it was closed.

    Args:
        read: gives a block of the journal.

    Raises:
        NotAJournal: see there.
    """
    block = read(0)
    magic, kind, _ = _HEADER.unpack_from(block)
    size, length, first, sequence, start, _, incompat, _ = _SUPER.unpack_from(block)
    if magic != MAGIC or kind not in (3, 4):
        raise NotAJournal(f"magic {magic:#x}, type {kind}")
    if incompat & ~(1 | _64BIT | _CSUM_V2 | _CSUM_V3) or size != len(block):
        raise NotAJournal(f"features {incompat:#x}, blocks of {size} bytes")
    shape = _Shape(size, length, first, incompat, crc32c(0xFFFFFFFF, block[48 : 48 + _UUID]))
    copies: dict[int, tuple[int, Copy]] = {}
    revoked: dict[int, int] = {}
    at = start
    while at and (transaction := _transaction(read, shape, at, sequence)):
        at = transaction.end
        copies |= {number: (sequence, copy) for number, copy in transaction.copies}
        revoked |= dict.fromkeys(transaction.revoked, sequence)
        sequence += 1
    return {number: copy for number, (when, copy) in copies.items() if revoked.get(number, -1) < when}


@dataclass(frozen=True, slots=True)
class _Transaction:
    end: int
    copies: list[tuple[int, Copy]]
    revoked: list[int]


def _transaction(read: Read, shape: _Shape, at: int, sequence: int) -> _Transaction | None:
    """One transaction; None when there is none of that number, or its commit block is not there."""
    copies: list[tuple[int, Copy]] = []
    revoked: list[int] = []
    for _ in range(shape.length):
        block = read(at)
        magic, kind, number = _HEADER.unpack_from(block)
        if magic != MAGIC or number != sequence:
            return None
        if kind == _COMMIT:
            return _Transaction(shape.after(at), copies, revoked) if _committed(block, shape) else None
        if not _tail_is_right(block, shape):
            return None
        if kind == _DESCRIPTOR:
            for home, escaped in _tags(block, shape):
                at = shape.after(at)
                copies.append((home, Copy(at, escaped)))
        elif kind == _REVOKE:
            revoked += _revoked(block, shape)
        else:
            return None
        at = shape.after(at)
    return None


def _committed(block: bytes, shape: _Shape) -> bool:
    if not shape.checked:
        return True
    said = int.from_bytes(block[16:20], "big")
    return said == crc32c(shape.seed, block[:16] + bytes(4) + block[20:])


def _tail_is_right(block: bytes, shape: _Shape) -> bool:
    if not shape.checked:
        return True
    return int.from_bytes(block[-4:], "big") == crc32c(shape.seed, block[:-4] + bytes(4))


def _tags(block: bytes, shape: _Shape) -> Iterator[tuple[int, bool]]:
    """The blocks that a descriptor block names, and whether their first word is escaped."""
    at, end = _HEADER.size, len(block) - 4 * shape.checked
    wide = bool(shape.features & _64BIT)
    size = 16 if shape.features & _CSUM_V3 else 8 + 4 * wide + 2 * bool(shape.features & _CSUM_V2)
    while at + size <= end:
        if shape.features & _CSUM_V3:
            low, flags, high, _ = struct.unpack_from(">IIII", block, at)
        else:
            low, _, flags = struct.unpack_from(">IHH", block, at)
            high = int.from_bytes(block[at + 8 : at + 12], "big") if wide else 0
        yield low | (high << 32 if wide else 0), bool(flags & _ESCAPE)
        at += size + (0 if flags & _SAME_UUID else _UUID)
        if flags & _LAST:
            return


def _revoked(block: bytes, shape: _Shape) -> Iterator[int]:
    used = min(int.from_bytes(block[12:16], "big"), len(block) - 4 * shape.checked)
    size = 8 if shape.features & _64BIT else 4
    for at in range(16, used - size + 1, size):
        yield int.from_bytes(block[at : at + size], "big")
