"""A payload that is checked while it is read: no byte leaves before the digest of its block has matched.

The file behind it may change at any time (a USB stick, a server, a writable directory); what was checked and what is
returned are the same bytes in memory, so that such a change is found and never used. Where the authentic digests come
from differs: ``verity.py`` has them from a signed hash tree, a plain bundle has them from the one pass in which the
signature over the whole payload was checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from queue import Queue
from threading import Thread
from typing import Protocol

from agent.bundle.source import Source
from agent.errors import BundleError

BLOCK = 4096  # bytes, of a hash tree
_RECORDED = (
    64 * 1024
)  # bytes; where the size of a block is ours to choose, larger ones cost less memory and fewer calls
DIGEST = 32  # SHA-256
_AHEAD = 128 * 1024  # bytes at the end of a squashfs in which its tables lie

Progress = Callable[[int], None]


class Digests(Protocol):
    """Authentic digests of the blocks of a payload."""

    @property
    def block(self) -> int:
        """Bytes of a block, a multiple of 4096; the last one of a payload may be short."""
        ...

    @property
    def span(self) -> int:
        """A run of blocks whose digests are at hand together; runs start at multiples of it."""
        ...

    def of(self, first: int, count: int) -> memoryview:
        """Returns the digests of ``count`` blocks from block ``first`` on, all within one run."""
        ...


class Hashing(Protocol):
    """What ``hashlib`` returns."""

    def copy(self) -> Hashing:
        """A twin that can go its own way."""
        ...

    def update(self, data: memoryview, /) -> None:
        """Takes more bytes."""
        ...

    def digest(self) -> bytes:
        """The digest of what was taken."""
        ...


class KeptDigests:
    """All digests, in memory: 0.8 % of the payload with blocks of 4096 bytes."""

    def __init__(self, digests: bytes | bytearray | memoryview, block: int = BLOCK) -> None:
        self._digests = memoryview(digests)
        self._block = block

    @property
    def block(self) -> int:
        """See Digests."""
        return self._block

    @property
    def span(self) -> int:
        """See Digests."""
        return max(1, len(self._digests) // DIGEST)

    def of(self, first: int, count: int) -> memoryview:
        """See Digests."""
        return self._digests[first * DIGEST : (first + count) * DIGEST]


class BlockHasher:
    """Digests of consecutive blocks, from pieces of any size."""

    def __init__(self, salt: bytes = b"", block: int = BLOCK) -> None:
        self._base = hashlib.sha256(salt)
        self._block = block
        self._rest = b""
        self._digests = bytearray()

    def update(self, piece: bytes) -> None:
        """Takes the next bytes."""
        data = self._rest + piece if self._rest else piece
        whole = len(data) - len(data) % self._block
        self._digests += block_digests(self._base, memoryview(data)[:whole], self._block)
        self._rest = data[whole:]

    def finish(self) -> bytearray:
        """Returns the digests, not a copy; the last block may be short. Nothing may be taken after it."""
        if self._rest:
            self._digests += block_digests(self._base, memoryview(self._rest), self._block)
            self._rest = b""
        return self._digests


class CheckedPayload:
    """A Source over the first ``size`` bytes of another, whose blocks must match their digests.

    Args:
        source: where the bytes come from.
        size: bytes; the last block may be short.
        digests: the authentic digest of every block.
        salt: hashed in front of every block.
        ahead: bytes that were read already, and where they start.
    """

    def __init__(
        self, source: Source, size: int, digests: Digests, salt: bytes = b"", ahead: tuple[int, bytes] = (0, b"")
    ) -> None:
        self._source = source
        self._size = size
        self._digests = digests
        self._block = digests.block
        self._base = hashlib.sha256(salt)
        self._ahead_start, self._ahead = ahead

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    @property
    def digests(self) -> Digests:
        """What the blocks are checked against."""
        return self._digests

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source; raises BundleError ``bundle.payload-corrupt`` when a block does not match."""
        return b"".join(self.stream(offset, length))

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """See Source; raises BundleError ``bundle.payload-corrupt`` at the first block that does not match."""
        if offset < 0 or length < 0 or offset + length > self._size:
            raise BundleError(
                "bundle.truncated",
                "the payload of the bundle ends too early",
                details=f"{length} bytes at offset {offset} were needed, but there are only {self._size}",
                resolution="build the bundle again",
            )
        end = offset + length
        stop = min(self._size, -(-end // self._block) * self._block)
        run = self._digests.span * self._block
        position = offset - offset % self._block
        while position < end:
            border = min(stop, position - position % run + run)
            for piece in self._checked(position, border - position):
                first, last = max(0, offset - position), min(len(piece), end - position)
                position += len(piece)
                yield piece if last - first == len(piece) else piece[first:last]

    def _checked(self, start: int, length: int) -> Iterator[bytes]:
        """Yields whole blocks of one run; its digests are fetched before the stream begins."""
        expected = self._digests.of(start // self._block, -(-length // self._block))
        done, rest = 0, b""
        for piece in self._raw(start, length):
            data = rest + piece if rest else piece
            ready = len(data) if done + len(data) == length else len(data) - len(data) % self._block
            rest = data[ready:]
            data = data[:ready]
            if data:
                at = done // self._block * DIGEST
                count = -(-ready // self._block) * DIGEST
                self._compare(start + done, data, expected[at : at + count])
                done += ready
                yield data

    def _compare(self, offset: int, data: bytes, expected: memoryview) -> None:
        found = block_digests(self._base, memoryview(data), self._block)
        if found == expected:
            return
        for number in range(len(found) // DIGEST):
            part = slice(number * DIGEST, (number + 1) * DIGEST)
            if found[part] != expected[part]:
                raise corrupt(f"the block at byte {offset + number * self._block} is not what was signed")
        raise corrupt(f"there is no digest for the bytes from {offset} on")

    def _raw(self, start: int, length: int) -> Iterator[bytes]:
        at = start - self._ahead_start
        if at >= 0 and at + length <= len(self._ahead):
            return iter((self._ahead[at : at + length],))
        return self._source.stream(start, length)


def record(source: Source, size: int, total: Hashing, progress: Progress | None = None) -> CheckedPayload:
    """Reads a payload once, feeds ``total`` with all of it, and remembers the digest of every block.

    Args:
        source: where the bytes come from.
        size: how many of them.
        total: receives every byte; compare its digest with the signed one before the result is used.
        progress: called with the number of bytes done so far.
    """
    hasher = BlockHasher(block=_RECORDED)
    done = 0
    with _Beside(total) as beside:
        for piece in source.stream(0, size):
            beside.update(piece)
            hasher.update(piece)
            done += len(piece)
            if progress:
                progress(done)
    return CheckedPayload(source, size, KeptDigests(hasher.finish(), _RECORDED))


class _Beside:
    """Feeds a digest in a thread of its own: hashing in large pieces leaves the interpreter free.

    A thread that has failed goes on taking pieces, so that nobody waits for it; the end raises what it failed with.
    """

    def __init__(self, total: Hashing) -> None:
        self._total = total
        self._waiting: Queue[bytes | None] = Queue(2)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="digest")

    def __enter__(self) -> _Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def update(self, piece: bytes) -> None:
        """Hashes the piece, later."""
        self._waiting.put(piece)

    def _work(self) -> None:
        while (piece := self._waiting.get()) is not None:
            try:
                if self._error is None:
                    self._total.update(memoryview(piece))
            except BaseException as error:  # noqa: BLE001  whatever it is, the other thread must hear of it
                self._error = error


def read_ahead(data_size: int) -> int:
    """Where to start reading so that the tables of the squashfs come along with what follows the payload."""
    start = max(0, data_size - _AHEAD)
    return start - start % BLOCK


def block_digests(base: Hashing, data: memoryview, size: int = BLOCK) -> bytes:
    """Returns the digests of the blocks of ``data``, ``size`` bytes each, salted by what ``base`` has hashed already."""
    copy = base.copy
    digests = []
    for start in range(0, len(data), size):
        block = copy()
        block.update(data[start : start + size])
        digests.append(block.digest())
    return b"".join(digests)


def corrupt(details: str) -> BundleError:
    """The refusal of a payload that differs from what was signed."""
    return BundleError(
        "bundle.payload-corrupt",
        "the content of the bundle was damaged or changed after it was signed",
        details=details,
        resolution="transfer the bundle again; if it stays so, get it again from its maker",
    )
