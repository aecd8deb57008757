"""The framed protocol between our processes, over a Unix stream socket.

A frame is ``>II`` (header length, body length), a JSON object, then raw bytes; open descriptors ride along as ancillary
data. Both lengths are capped, so that a broken or hostile peer cannot make the other side allocate: the daemon trusts
neither the fetcher nor the installer. What the frames mean is up to the two ends.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.errors import EnvironmentFault

MAX_HEADER = 64 * 1024
MAX_BODY = 1024 * 1024
MAX_FDS = 4
_LENGTHS = struct.Struct(">II")


class WireError(EnvironmentFault):
    """The peer broke the protocol, vanished in the middle of a frame, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: a JSON object, raw bytes, and descriptors that the receiver now owns."""

    header: Mapping[str, object]
    body: bytes = b""
    fds: tuple[int, ...] = field(default=())

    @property
    def op(self) -> str:
        """The header's ``op``, or an empty string."""
        value = self.header.get("op")
        return value if isinstance(value, str) else ""

    def text(self, key: str, default: str = "") -> str:
        """A string field of the header."""
        value = self.header.get(key, default)
        if not isinstance(value, str):
            raise WireError("ipc.protocol", f"the peer sent a {key} that is no text")
        return value

    def number(self, key: str, default: int | None = None) -> int:
        """A non-negative integer field of the header below 2**63."""
        value = self.header.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise WireError("ipc.protocol", f"the peer sent a {key} that is no number")
        return value


class Channel:
    """One end of a conversation.

    Args:
        sock: a connected stream socket; the channel owns it from now on.
        peer: who is at the other end, for error messages (``fetcher``, ``installer``, ``daemon``).
    """

    def __init__(self, sock: socket.socket, peer: str = "peer") -> None:
        sock.setblocking(True)
        self._sock = sock
        self._peer = peer

    @classmethod
    def from_fd(cls, fd: int, peer: str = "peer") -> Channel:
        """Takes over an inherited socket descriptor."""
        return cls(socket.socket(fileno=fd), peer)

    def fileno(self) -> int:
        """For ``select``."""
        return self._sock.fileno()

    def hang_up(self) -> None:
        """Says that nothing more will be said; what the peer still says is kept."""
        with contextlib.suppress(OSError):  # the peer was faster
            self._sock.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Ends the conversation in both directions; a thread that waits for the peer sees that it is gone."""
        with contextlib.suppress(OSError):  # as above
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the socket; the peer sees the end of the conversation."""
        self._sock.close()

    def send(self, header: Mapping[str, object], body: bytes | memoryview = b"", fds: Sequence[int] = ()) -> None:
        """Sends one frame; blocks while the peer's buffer is full.

        Raises:
            WireError: ``ipc.too-large`` for a frame over the caps, ``ipc.peer-gone`` when the peer has closed.
        """
        text = json.dumps(header, separators=(",", ":")).encode()
        if len(text) > MAX_HEADER or len(body) > MAX_BODY or len(fds) > MAX_FDS:
            raise WireError("ipc.too-large", f"a message to the {self._peer} is over the limits", retryable=False)
        head = _LENGTHS.pack(len(text), len(body)) + text
        try:
            if fds:
                rights = array.array("i", fds)
                sent = self._sock.sendmsg([head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                self._sock.sendall(head[sent:])
                self._sock.sendall(body)
            elif len(body) <= 4096:
                self._sock.sendall(head + bytes(body))
            else:
                self._sock.sendall(head)
                self._sock.sendall(body)
        except OSError as error:
            raise WireError("ipc.peer-gone", f"the {self._peer} is gone", details=str(error)) from error

    def recv(self, timeout: float | None = None) -> Frame | None:
        """Receives one frame; None when the peer ended the conversation between two frames.

        Args:
            timeout: seconds to wait for the whole frame; None waits for ever.

        Raises:
            WireError: ``ipc.timeout``, ``ipc.protocol`` (caps, JSON) or ``ipc.peer-gone`` (end inside a frame).
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        fds: list[int] = []
        try:
            head = self._read(_LENGTHS.size, fds, deadline, may_end=True)
            if head is None:
                return None
            header_length, body_length = _LENGTHS.unpack(head)
            if header_length > MAX_HEADER or body_length > MAX_BODY:
                raise WireError("ipc.protocol", f"the {self._peer} announced a message over the limits")
            text = self._read(header_length, fds, deadline)
            body = self._body(body_length, fds, deadline)
            header = json.loads(text or b"null")
            if not isinstance(header, dict):
                raise WireError("ipc.protocol", f"the {self._peer} sent a message that is no object")
        except (ValueError, RecursionError) as error:
            _close_all(fds)
            raise WireError("ipc.protocol", f"the {self._peer} sent a message that is no JSON") from error
        except BaseException:
            _close_all(fds)
            raise
        return Frame(header, body, tuple(fds))

    def _readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def _body(self, length: int, fds: list[int], deadline: float | None) -> bytes:
        """The kernel puts a large body together in one call, where it need not be copied once more."""
        if length <= MAX_HEADER or deadline is not None:
            return bytes(self._read(length, fds, deadline) or b"")
        try:
            whole = self._sock.recv(length, socket.MSG_WAITALL)
        except OSError as error:
            raise WireError("ipc.peer-gone", f"the {self._peer} is gone", details=str(error)) from error
        if len(whole) < length:  # a signal, or the end
            whole += self._read(length - len(whole), fds, None) or b""
        return whole

    def _read(self, length: int, fds: list[int], deadline: float | None, *, may_end: bool = False) -> bytearray | None:
        data = bytearray(length)
        view = memoryview(data)
        done = 0
        while done < length:
            if deadline is not None and not self._readable(deadline - time.monotonic()):
                raise WireError("ipc.timeout", f"the {self._peer} did not answer in time")
            try:
                if length <= MAX_HEADER:  # descriptors come with the first bytes of a frame
                    count, ancillary, flags, _ = self._sock.recvmsg_into(
                        [view[done:]], socket.CMSG_SPACE(MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC
                    )
                    fds.extend(_descriptors(ancillary))
                    if flags & socket.MSG_CTRUNC or len(fds) > MAX_FDS:
                        raise WireError("ipc.protocol", f"the {self._peer} sent too many descriptors")
                else:
                    count = self._sock.recv_into(view[done:])
            except OSError as error:
                raise WireError("ipc.peer-gone", f"the {self._peer} is gone", details=str(error)) from error
            if count == 0:
                if may_end and done == 0:
                    return None
                raise WireError("ipc.peer-gone", f"the {self._peer} is gone in the middle of a message")
            done += count
        return data


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
            found.extend(numbers)
    return found


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def pair(near: str, far: str) -> tuple[Channel, Channel]:
    """Makes a connected pair of channels; ``near`` and ``far`` name the processes that will hold them."""
    ours, theirs = socket.socketpair()
    return Channel(ours, far), Channel(theirs, near)
