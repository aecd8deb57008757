"""A TCP server that says exactly what it is told to, for answers that no HTTP server would give."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def raw_server(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Runs ``talk`` with every connection; yields the origin (http)."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def converse(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            talk(connection, stop)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def says(data: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Reads one request and answers with these bytes."""

    def talk(connection: socket.socket, _stop: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(data)

    return talk


def drips(head: bytes, drop: bytes, pause: float) -> Callable[[socket.socket, threading.Event], None]:
    """Answers with ``head`` and then, for ever, with ``drop`` every ``pause`` seconds."""

    def talk(connection: socket.socket, stop: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(head)
        while not stop.wait(pause):
            connection.sendall(drop)

    return talk
