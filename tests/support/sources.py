"""Sources for tests: bytes in memory that count the requests, and that can change or arrive in odd pieces."""

from __future__ import annotations

from collections.abc import Iterator


class MemorySource:
    """Bytes in memory.

    Args:
        data: what there is; assign to ``data`` to change the file under the reader's feet.
        piece: largest piece of a stream, in bytes.
    """

    def __init__(self, data: bytes, piece: int = 1 << 20) -> None:
        self.data = data
        self.piece = piece
        self.requests: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        return b"".join(self.stream(offset, length))

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """See Source; one request to count."""
        assert 0 <= offset <= offset + length <= len(self.data), "a request beyond the end"
        self.requests.append((offset, length))
        for start in range(offset, offset + length, self.piece):
            yield self.data[start : min(start + self.piece, offset + length)]
