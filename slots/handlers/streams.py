"""Images into a part of a disk, and digests of what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from slots.errors import SlotError
from slots.handlers.disk import Medium

CHUNK = 1024 * 1024  # bytes


def chunks(pieces: Iterable[bytes | memoryview], size: int, length: int = CHUNK) -> Iterator[bytes]:
    """The same bytes in pieces of ``length``, the last one shorter.

    Args:
        pieces: the whole content, in pieces of any size.
        size: what it must add up to, in bytes.
        length: of the new pieces, in bytes.

    Raises:
        SlotError: ``slot.size-mismatch``; nothing beyond ``size`` is given away before.
    """
    held, done = bytearray(), 0
    for piece in pieces:
        done += len(piece)
        if done > size:
            raise _mismatch("more", size)
        held += piece
        while len(held) >= length:
            yield bytes(held[:length])
            del held[:length]
    if done != size:
        raise _mismatch("less", size)
    if held:
        yield bytes(held)


def padded(data: bytes, sector: int) -> bytes:
    """The data with zeros up to the next whole sector."""
    return data + bytes(-len(data) % sector)


def read_on(medium: Medium, start: int, size: int, sector: int) -> Iterator[bytes]:
    """Exactly ``size`` bytes of a disk from a sector on, in pieces."""
    done = 0
    while done < size:
        count = min(size - done, CHUNK)
        yield medium.read(start + done, count + -count % sector)[:count]
        done += count


def digest(pieces: Iterable[bytes], checked: Callable[[int], None]) -> str:
    """SHA-256 in hexadecimal; ``checked`` is told how many bytes are done."""
    result, done = hashlib.sha256(), 0
    for piece in pieces:
        result.update(piece)
        done += len(piece)
        checked(done)
    return result.hexdigest()


def differs(slot_name: str, found: str, expected: str) -> SlotError:
    """The error for a medium that gave back something else; both digests in hexadecimal."""
    return SlotError(
        "slot.read-back", f"slot {slot_name} does not hold what was written to it",
        details=f"read back sha256 {found[:16]}..., expected {expected[:16]}...",
        resolution="it is written again from the start; if this repeats, the storage is failing", retryable=True,
    )  # fmt: skip


def _mismatch(word: str, size: int) -> SlotError:
    return SlotError(
        "slot.size-mismatch", "the image does not have the size that was announced", details=f"{word} than {size} bytes",
        resolution="build the bundle again",
    )  # fmt: skip
