"""The bytes of an archive, read forward only, digested on the way, and never more at once or in all than allowed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from slots.archive.decode import decoded, invalid
from slots.errors import SlotError

MAX_READ = 1024 * 1024  # bytes; what is read whole are headers, and the longest are extended attributes
BLOCK = 512


class Stream:
    """What tarfile reads from: a file object that can only go forward.

    Args:
        pieces: the archive as it is in the bundle, compressed or not.
        limit: the most bytes that it may unpack to.
        taken: is told how many bytes of ``pieces`` were used.
    """

    def __init__(self, pieces: Iterable[bytes | memoryview], limit: int, taken: Callable[[int], None]) -> None:
        self._digest = hashlib.sha256()
        self._limit, self._taken, self._count = limit, taken, 0
        self._source = decoded(self._digested(pieces))
        self._rest = memoryview(b"")
        self._position = 0
        self._last = b""

    def _digested(self, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
        for piece in pieces:
            self._digest.update(piece)
            self._count += len(piece)
            self._taken(self._count)
            yield bytes(piece)

    def tell(self) -> int:
        """Bytes of the unpacked archive that were read."""
        return self._position

    def seek(self, position: int) -> int:
        """Goes forward; a place behind the end is not reached."""
        if position < self._position:
            raise invalid(f"it leads back from {self._position} to {position}")
        for _ in self.take(position - self._position):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        """Reads a header: as many bytes, or fewer at the end."""
        if not 0 <= size <= MAX_READ:
            raise invalid(f"a header of {size} bytes")
        data = b"".join(self.take(size))
        self._last = data[-BLOCK:]
        return data

    def take(self, size: int) -> Iterator[memoryview]:
        """Reads content in pieces of any size: as many bytes, or fewer at the end."""
        while size > 0:
            if not self._rest:
                piece = next(self._source, None)
                if piece is None:
                    return
                self._rest = memoryview(piece)
                continue
            part, self._rest = self._rest[:size], self._rest[size:]
            size -= len(part)
            self._position += len(part)
            if self._position > self._limit:
                raise SlotError(
                    "slot.archive-refused", "the archive holds what may not be unpacked",
                    details=f"it unpacks to more than {self._limit} bytes",
                    resolution="build a smaller archive, or give the slot more room",
                )  # fmt: skip
            yield part

    def finish(self) -> str:
        """Reads up to the end, where nothing but zeros may be left.

        Returns:
            SHA-256, in hexadecimal, of the archive as it is in the bundle.

        Raises:
            SlotError: ``slot.archive-invalid``: there is no end mark, or there is more behind it.
        """
        if self._last != bytes(BLOCK):  # tarfile takes a broken header for the end, and so does it a missing one
            raise invalid(f"there is no header and no end mark at byte {max(0, self._position - BLOCK)}")
        zeros = bytes(MAX_READ)
        while parts := list(self.take(MAX_READ)):
            for part in parts:
                if part != zeros[: len(part)]:
                    raise invalid(f"there is something behind its end, before byte {self._position}")
        return self._digest.hexdigest()
