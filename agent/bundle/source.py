"""Where the bytes of a bundle come from: an open file, or the fetcher at the other end of a socket.

Both give random access by offset and long sequential reads. Nothing here judges the bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Protocol

from agent.errors import BundleError, EnvironmentFault, from_explained
from agent.wire import Channel, WireError

PIECE = 256 * 1024  # bytes asked from a file at once; large enough that the loop costs nothing


class Source(Protocol):
    """Bytes with a known size, readable at any offset."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Returns exactly ``length`` bytes; raises BundleError ``bundle.truncated`` when there are fewer."""
        ...

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """Yields exactly ``length`` bytes in order, in pieces of any size."""
        ...


class FileSource:
    """A bundle in an open regular file or block device. The same descriptor is used for checking and for reading."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise BundleError("bundle.not-a-file", "a bundle must be a regular file")
        try:
            self._size = os.lseek(fd, 0, os.SEEK_END)
        except OSError as error:  # some files of /proc
            raise _unreadable(0, error) from error

    @property
    def size(self) -> int:
        """Length in bytes when it was opened."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        if offset < 0 or length < 0 or offset + length > self._size:
            raise _truncated(offset, length, self._size)
        data = b""
        while len(data) < length:
            try:
                more = os.pread(self._fd, length - len(data), offset + len(data))
            except OSError as error:
                raise _unreadable(offset + len(data), error) from error
            if not more:
                raise _truncated(offset, length, offset + len(data))
            data = data + more if data else more
        return data

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """See Source."""
        end = offset + length
        while offset < end:
            piece = self.read_at(offset, min(PIECE, end - offset))
            yield piece
            offset += len(piece)


class RemoteSource:
    """A bundle on a server, read through the fetcher.

    We send ``{"op": "read", "offset": o, "length": n}``; the fetcher answers with frames ``{"op": "data", "offset": o}``
    whose bodies are the bytes in order, or with one ``{"op": "error", "error": {...}}``. A stream that is abandoned is
    drained before the next request, so that frames never get out of step.

    Args:
        channel: our end of the socket to the fetcher.
        size: the size that the server announced, in bytes; the fetcher checks that the server keeps its word.
    """

    def __init__(self, channel: Channel, size: int) -> None:
        self._channel = channel
        self._size = size
        self._pending = 0

    @property
    def size(self) -> int:
        """The announced length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        return b"".join(self.stream(offset, length))

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        """See Source."""
        if offset < 0 or length < 0 or offset + length > self._size:
            raise _truncated(offset, length, self._size)
        while self._pending:
            self._receive()
        if length == 0:
            return
        self._channel.send({"op": "read", "offset": offset, "length": length})
        self._pending = length
        while self._pending:
            yield self._receive()

    def abandon(self) -> None:
        """Ends the transfer, for a thread that waits for it, too."""
        self._channel.cut()

    def _receive(self) -> bytes:
        frame = self._channel.recv()
        if frame is None:
            raise WireError("ipc.peer-gone", "the fetcher ended the transfer early")
        if frame.fds:
            for fd in frame.fds:  # kept, they would fill our table
                os.close(fd)
            raise WireError("ipc.protocol", "the fetcher sent descriptors, which nobody asked for")
        if frame.op == "error":
            self._pending = 0
            parts = frame.header.get("error")
            raise from_explained(parts if isinstance(parts, dict) else {})
        if frame.op != "data" or not 0 < len(frame.body) <= self._pending:
            raise WireError("ipc.protocol", "the fetcher sent something that was not asked for")
        self._pending -= len(frame.body)
        return frame.body


def _unreadable(offset: int, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        "bundle.read-failed",
        "the bundle cannot be read from where it is",
        details=f"offset {offset}: {error.strerror}",
        resolution="if it is on a stick or a card, plug that in again; otherwise check the storage or the network mount",
    )


def _truncated(offset: int, length: int, size: int) -> BundleError:
    return BundleError(
        "bundle.truncated",
        "the bundle ends too early",
        details=f"{length} bytes at offset {offset} were needed, but there are only {size}",
        resolution="transfer or build the bundle again",
    )
