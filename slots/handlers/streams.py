"""Images into a part of a disk, and digests of what is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from slots.errors import SlotError
from slots.handlers.disk import Medium
from slots.handlers.port import Content, Watch, Written

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
    import hashlib  # here: the daemon asks for a preflight, and has no use for it

    result, done = hashlib.sha256(), 0
    for piece in pieces:
        result.update(piece)
        done += len(piece)
        checked(done)
    return result.hexdigest()


def fill(slot_name: str, disk: Medium, at: int, content: Content, watch: Watch) -> Written:
    """Makes a part of a disk hold an image: writes it unless it is there already, and proves it.

    Args:
        slot_name: for messages.
        disk: open for writing.
        at: byte offset of the part, a whole sector.
        content: the image.
        watch: is told how far the work is.

    Raises:
        SlotError: ``slot.read-back``, ``slot.read-failed``, ``slot.write-failed``, ``slot.size-mismatch``.
    """
    found, reading = look(disk, at, content, watch)
    written = 0
    if found != content.sha256:
        for chunk in chunks(content.pieces(0), content.size):
            disk.write(at + written, padded(chunk, disk.sector))
            written += len(chunk)
            watch.wrote(written)
        disk.flush()
        found, more = look(disk, at, content, watch)
        reading += more
    if found != content.sha256:
        raise differs(slot_name, found, content.sha256)
    return Written(found, written, content.size - written, reading)


def look(disk: Medium, at: int, content: Content, watch: Watch) -> tuple[str, float]:
    """The digest of what is where an image of this size would be, and the seconds that reading it took."""
    since = time.monotonic()
    return digest(read_on(disk, at, content.size, disk.sector), watch.checked), time.monotonic() - since


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
