"""The hash tree behind the payload of a verity bundle: built, and checked from the signed root downwards.

It is dm-verity's format 1 without superblock, as the kernel documents it in ``admin-guide/device-mapper/verity``:
SHA-256, blocks of 4096 bytes, ``H(block) = SHA-256(salt | block)``, 128 digests in a block, the rest of a block zero, the
top level first. The payload counts from the start of the file, the tree follows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from agent.bundle.payload import (
    BLOCK,
    DIGEST,
    BlockHasher,
    CheckedPayload,
    Digests,
    KeptDigests,
    block_digests,
    corrupt,
    read_ahead,
)
from agent.bundle.source import Source
from agent.errors import BundleError

PER_BLOCK = BLOCK // DIGEST
MAX_DATA = 128 * 1024**3  # bytes of payload; the upper levels of its tree, kept in memory, are then 8 MiB
KEEP_BELOW = 512 * 1024**2  # bytes of payload up to which the whole tree is kept, at most 4 MiB
_GROUP = 64  # leaf blocks fetched at once for larger payloads: 256 KiB, for 32 MiB of payload


def tree_levels(data_size: int) -> tuple[int, ...]:
    """Returns how many blocks each level of the tree has, the top first.

    Args:
        data_size: bytes of the payload; more than one block and whole blocks, as RAUC demands.

    Raises:
        BundleError: ``bundle.payload-corrupt``, ``bundle.too-large``.
    """
    if data_size % BLOCK or data_size <= BLOCK:
        raise corrupt(f"a payload of {data_size} bytes cannot have a hash tree")
    if data_size > MAX_DATA:
        raise BundleError(
            "bundle.too-large",
            "the bundle is too large",
            details=f"its payload has {data_size} bytes; at most {MAX_DATA} are supported",
            resolution="split the update into several bundles",
        )
    levels = [-(-(data_size // BLOCK) // PER_BLOCK)]
    while levels[0] > 1:
        levels.insert(0, -(-levels[0] // PER_BLOCK))
    return tuple(levels)


def tree_size(data_size: int) -> int:
    """Returns the bytes of the tree over a payload; raises as ``tree_levels``."""
    return sum(tree_levels(data_size)) * BLOCK


def build_tree(pieces: Iterable[bytes], salt: bytes) -> tuple[bytes, bytes]:
    """Builds the tree over a payload.

    Args:
        pieces: the payload in order, in pieces of any size; whole blocks in all, and more than one.
        salt: hashed in front of every block; RAUC uses 32 random bytes.

    Returns:
        The root digest and the bytes of the tree.
    """
    hasher = BlockHasher(salt)
    size = 0
    for piece in pieces:
        hasher.update(piece)
        size += len(piece)
    tree_levels(size)
    base = hashlib.sha256(salt)
    levels = [_padded(hasher.finish())]
    while len(levels[-1]) > BLOCK:
        levels.append(_padded(block_digests(base, memoryview(levels[-1]))))
    return block_digests(base, memoryview(levels[-1])), b"".join(reversed(levels))


class VerityPayload(CheckedPayload):
    """The payload of a verity bundle. Its tree is checked here; its blocks are checked whenever they are read.

    Args:
        source: the bundle.
        data_size: bytes of the payload at its start.
        tree: the whole tree, or all of it except the lowest level, which is then fetched and checked when needed.
        salt: from the signed manifest.
        root: the signed root digest.
        ahead: bytes of the payload that were read already, and where they start.

    Raises:
        BundleError: ``bundle.payload-corrupt`` when the tree is not the signed one, ``bundle.too-large``.
    """

    def __init__(
        self,
        source: Source,
        data_size: int,
        tree: bytes | memoryview,
        salt: bytes,
        root: bytes,
        ahead: tuple[int, bytes] = (0, b""),
    ) -> None:
        levels = tree_levels(data_size)
        known = check_levels(tree, levels, data_size // BLOCK, salt, root)
        digests: Digests = KeptDigests(known)
        if len(tree) < sum(levels) * BLOCK:
            digests = _FetchedDigests(source, data_size + len(tree), data_size // BLOCK, known, salt)
        super().__init__(source, data_size, digests, salt, ahead)


def open_verity(
    source: Source, data_size: int, size_of_tree: int, salt: bytes, root: bytes, *, keep_below: int = KEEP_BELOW
) -> VerityPayload:
    """Reads and checks the tree of a bundle, with one read that also brings the tables of the squashfs.

    Args:
        source: the bundle.
        data_size: bytes of the payload.
        size_of_tree: bytes of the tree, as signed.
        salt: as signed.
        root: as signed.
        keep_below: bytes of payload from which on the lowest level of the tree is not kept in memory.

    Raises:
        BundleError: ``bundle.payload-corrupt``, ``bundle.too-large``.
    """
    levels = tree_levels(data_size)
    if size_of_tree != sum(levels) * BLOCK:
        raise corrupt(
            f"a payload of {data_size} bytes needs a hash tree of {sum(levels) * BLOCK} bytes, not {size_of_tree}"
        )
    kept = levels if data_size <= keep_below else levels[:-1]
    start = read_ahead(data_size)
    found = memoryview(source.read_at(start, data_size - start + sum(kept) * BLOCK))
    ahead, tree = bytes(found[: data_size - start]), found[data_size - start :]
    return VerityPayload(source, data_size, tree, salt, root, (start, ahead))


def check_levels(tree: bytes | memoryview, levels: Sequence[int], blocks: int, salt: bytes, root: bytes) -> memoryview:
    """Checks as many whole levels as ``tree`` holds, from the top.

    Returns:
        The authentic digests in the lowest of them.

    Raises:
        BundleError: ``bundle.payload-corrupt``.
    """
    base = hashlib.sha256(salt)
    below = [*levels[1:], blocks]  # what the digests of each level stand for
    expected = memoryview(root)
    position = 0
    for count, digests in zip(levels, below, strict=True):
        if position == len(tree):
            break
        level = memoryview(tree)[position : position + count * BLOCK]
        if len(level) != count * BLOCK or block_digests(base, level) != expected:
            raise corrupt(f"the hash tree is not what was signed, at byte {position} of {len(tree)}")
        expected = _without_padding(level, digests)
        position += count * BLOCK
    if position != len(tree):
        raise corrupt(f"the hash tree has {len(tree) - position} bytes too many")
    return expected


class _FetchedDigests:
    """The lowest level of a large tree: fetched in groups of blocks and checked against the level above."""

    def __init__(self, source: Source, offset: int, blocks: int, parents: memoryview, salt: bytes) -> None:
        self._source = source
        self._offset = offset
        self._blocks = blocks
        self._parents = parents
        self._base = hashlib.sha256(salt)
        self._group = -1
        self._digests = memoryview(b"")

    @property
    def block(self) -> int:
        """See Digests."""
        return BLOCK

    @property
    def span(self) -> int:
        return _GROUP * PER_BLOCK

    def of(self, first: int, count: int) -> memoryview:
        group, start = divmod(first, self.span)
        if group != self._group:
            self._digests, self._group = self._fetch(group), group
        return self._digests[start * DIGEST : (start + count) * DIGEST]

    def _fetch(self, group: int) -> memoryview:
        expected = self._parents[group * _GROUP * DIGEST : (group + 1) * _GROUP * DIGEST]
        length = len(expected) // DIGEST * BLOCK
        found = memoryview(self._source.read_at(self._offset + group * _GROUP * BLOCK, length))
        if block_digests(self._base, found) != expected:
            raise corrupt(f"the hash tree is not what was signed, in group {group} of its lowest level")
        return _without_padding(found, min(self.span, self._blocks - group * self.span))


def _without_padding(level: memoryview, digests: int) -> memoryview:
    if any(level[digests * DIGEST :]):
        raise corrupt("the padding of the hash tree is not zero")
    return level[: digests * DIGEST]


def _padded(digests: bytes | bytearray) -> bytes:
    return bytes(digests) + bytes(-len(digests) % BLOCK)
