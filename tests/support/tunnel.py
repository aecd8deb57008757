"""What stands between a device and its server: an HTTP proxy, or a line that is cut again and again."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent.demo.server_tls import Tls

PIECE = 16 * 1024


@dataclass
class Between:
    """What went through.

    Attributes:
        url: of the proxy, or of the near end of the line.
        heads: the head of each request that the proxy itself was sent.
        seen: every byte that it was sent by clients, and could read.
        down: bytes that came from servers and were passed on to clients.
        connections: how many there were.
        ended: how many of them are over.
        server: the far end of a line.
        after: bytes after which a connection of it is cut.
        cuts: how many there were.
    """

    url: str = ""
    heads: list[str] = field(default_factory=list)
    seen: bytearray = field(default_factory=bytearray)
    down: int = 0
    connections: int = 0
    ended: int = 0
    server: str = ""
    after: int = 0
    cuts: int = 0


@contextmanager
def http_proxy(login: str = "", *, tls: Tls | None = None, answer: bytes = b"") -> Iterator[Between]:
    """An HTTP proxy: CONNECT, and requests in absolute form.

    Args:
        login: ``user:password`` that it wants; empty for everybody.
        tls: it speaks TLS itself, with this identity.
        answer: what it says to every request instead of doing its work.
    """
    state = Between()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    if context is not None and tls is not None:
        context.load_cert_chain(tls.cert, tls.key)
    wanted = f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}"

    def talk(client: socket.socket) -> None:
        if context is None:
            serve(client)
        else:
            with context.wrap_socket(client, server_side=True) as secured:
                serve(secured)

    def serve(client: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data and (piece := client.recv(PIECE)):
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        state.heads.append(head.decode("latin-1"))
        state.seen += data
        if answer:
            client.sendall(answer)
            return
        if login and wanted not in state.heads[-1].split("\r\n"):
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        method, target, _ = state.heads[-1].split("\r\n")[0].split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            first = rest
        else:
            parts = urlsplit(target)
            host, port = parts.hostname or "", str(parts.port or 80)
            lines = [
                line for line in head.split(b"\r\n")[1:] if not line.lower().startswith((b"proxy-", b"connection:"))
            ]
            path = f"{method} {parts.path or '/'} HTTP/1.1".encode()
            first = b"\r\n".join([path, *lines, b"Connection: close"]) + b"\r\n\r\n" + rest
        try:
            server = socket.create_connection((host, int(port)), 5)
        except OSError:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            server.sendall(first)
            _join(client, server, state, lambda _size: True)

    with _listening(state, talk, "https" if tls else "http"):
        yield state


@contextmanager
def cut_line(*, after: int) -> Iterator[Between]:
    """A line to an https server, named later, whose connections are cut (RST) after so many bytes from the server.

    Args:
        after: bytes; the connections differ a little, so that the cuts do not fall on borders of anything.
    """
    state = Between(after=after)

    def talk(client: socket.socket) -> None:
        # What the cut finds in the send buffer was never on the line, but would be counted.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * PIECE)
        parts, end, came = urlsplit(state.server), state.after + 977 * state.connections, 0

        def goes_on(size: int) -> bool:
            nonlocal came
            came += size
            if came < end:
                return True
            state.cuts += 1
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with RST
            return False

        with socket.create_connection((str(parts.hostname), parts.port), 5) as far:
            _join(client, far, state, goes_on)

    with _listening(state, talk, "https"):
        yield state


def _join(client: socket.socket, server: socket.socket, state: Between, goes_on: Callable[[int], bool]) -> None:
    """Passes bytes in both directions until one side ends, or it shall not go on."""

    def up() -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(PIECE):
                state.seen += piece
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=up, daemon=True)
    thread.start()
    try:
        while piece := server.recv(PIECE):
            rest = memoryview(piece)
            while rest:  # where nobody takes the rest of a piece, its beginning was passed on
                sent = client.send(rest)
                state.down += sent
                rest = rest[sent:]
            if not goes_on(len(piece)):
                break
    finally:
        with contextlib.suppress(OSError):  # a socket that a thread still reads from would not be closed
            client.shutdown(socket.SHUT_RD)
        thread.join()


@contextmanager
def _listening(state: Between, talk: Callable[[socket.socket], None], scheme: str) -> Iterator[None]:
    listener = socket.create_server(("127.0.0.1", 0))
    state.url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"

    def converse(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            talk(client)
        state.ended += 1

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                state.connections += 1
                threading.Thread(target=converse, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
