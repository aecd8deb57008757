"""The process that talks to the network, and to nothing else.

Its standard input is a socket to the daemon. Messages, answered one after the other in the order they come:

- ``session`` with the terms -> ``ok``. The first one gives up root.
- ``request`` with method, url, headers, max_body and a body -> ``response`` with status, headers and a body.
- ``connect`` with host and port -> ``connected`` when a TCP connection was accepted, which is closed again at once.
- ``serve`` with url, size and one descriptor -> when its peer has closed, ``served`` with bytes and retries. With
  ``report``, a number of bytes, it says ``spent`` with bytes and retries so far each time so many more have come, and at
  least once a minute while any come.

Anything can be answered with ``error`` instead. When the daemon goes, this process goes, at once and whatever it is doing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence

from agent.errors import OtaError, explain
from agent.fetcher import privileges
from agent.fetcher.credentials import with_credentials
from agent.fetcher.reach import reach
from agent.fetcher.serve import Transfer
from agent.fetcher.session import Session
from agent.fetcher.terms import parse_terms
from agent.hangup import watch
from agent.wire import MAX_BODY, Channel, Frame, WireError

MAX_SIZE = 1 << 40  # bytes of one bundle
MAX_HEADERS = 32
AHEAD = (
    512 * 1024
)  # bytes fetched while the reader is busy; the kernel takes as many as net.core.wmem_max allows (socket(7))


class Conversation:
    """The daemon's side of the work."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._session: Session | None = None

    def run(self) -> int:
        """Answers until the daemon closes; returns the exit status."""
        while True:
            try:
                frame = self._channel.recv()
            except WireError:
                return 1
            if frame is None:
                return 0
            try:
                header, body = self._answer(frame)
            except OtaError as error:
                header, body = {"op": "error", "error": explain(error)}, b""
            except Exception as error:  # noqa: BLE001  the daemon is told of anything, and the texts are kept back
                header, body = {"op": "error", "error": _unforeseen(error)}, b""
            finally:
                _close(frame.fds)
            try:
                self._channel.send(header, body)
            except WireError as error:
                return 0 if error.code == "ipc.peer-gone" else 1

    def _answer(self, frame: Frame) -> tuple[Mapping[str, object], bytes]:
        if frame.op == "session":
            return self._begin(frame)
        if self._session is None:
            raise WireError("ipc.protocol", "the daemon asked before it opened a session", retryable=False)
        if frame.op == "request":
            return self._request(self._session, frame)
        if frame.op == "connect":
            reach(frame.text("host"), frame.number("port"), self._session.terms.connect_timeout)
            return {"op": "connected"}, b""
        if frame.op == "serve":
            return self._serve(self._session, frame)
        raise WireError("ipc.protocol", "the daemon sent an unknown message", retryable=False)

    def _begin(self, frame: Frame) -> tuple[Mapping[str, object], bytes]:
        terms = parse_terms(with_credentials(frame.header))
        privileges.become(terms.user)
        if self._session is not None:
            self._session.close()
        self._session = Session(terms)
        return {"op": "ok"}, b""

    def _request(self, session: Session, frame: Frame) -> tuple[Mapping[str, object], bytes]:
        answer = session.request(
            frame.text("method", "GET"),
            frame.text("url"),
            _headers(frame.header.get("headers", {})),
            frame.body,
            min(frame.number("max_body", MAX_BODY), MAX_BODY),
        )
        return {"op": "response", "status": answer.status, "headers": dict(answer.headers)}, answer.body

    def _serve(self, session: Session, frame: Frame) -> tuple[Mapping[str, object], bytes]:
        size = frame.number("size")
        if len(frame.fds) != 1 or not 0 < size <= MAX_SIZE:
            raise WireError("ipc.protocol", "a transfer needs a size and one descriptor", retryable=False)
        sock = _socket(frame.fds[0])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD)
        reader = Channel(sock, "installer")
        try:
            end = Transfer(
                session, frame.text("url"), size, reader, step=frame.number("report", 0), report=self._spent
            ).run()
        finally:
            reader.close()
        numbers = {"bytes": end.bytes, "retries": end.retries}
        if end.error is not None:
            return {"op": "error", "error": explain(end.error), **numbers}, b""
        return {"op": "served", **numbers}, b""

    def _spent(self, size: int, retries: int) -> None:
        self._channel.send({"op": "spent", "bytes": size, "retries": retries})


def _headers(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_HEADERS or not all(isinstance(v, str) for v in value.values()):
        raise WireError("ipc.protocol", "the daemon sent headers that are no texts", retryable=False)
    return value


def _socket(fd: int) -> socket.socket:
    """A socket on a copy of ``fd``."""
    copy = os.dup(fd)
    try:
        return socket.socket(fileno=copy)
    except OSError as error:
        os.close(copy)
        raise WireError("ipc.protocol", "the descriptor for a transfer is no socket", retryable=False) from error


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _unforeseen(error: Exception) -> Mapping[str, object]:
    """Like ``explain``, but without the exception's text: a library might quote a header in it."""
    return {**explain(error), "details": type(error).__name__}


def main(argv: Sequence[str]) -> int:
    """Runs the fetcher on standard input; returns the exit status."""
    if argv:
        return 2
    privileges.harden()
    channel = Channel.from_fd(0, "daemon")
    watch(channel.fileno())
    return Conversation(channel).run()
