"""A small HTTP server of ranges over anything that can be read by offset, which says no more than it is told to."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.raw import raw_server

PIECE = 256 * 1024


@dataclass
class RangeServer:
    """What is served, and what was asked.

    Args:
        size: bytes, as announced.
        read: gives ``length`` bytes from ``offset``.
        validators: header lines such as ``ETag: "1"``; there may be none.
        cuts: after how many bytes of the body each of the next answers breaks off.
    """

    size: int
    read: Callable[[int, int], bytes]
    validators: tuple[str, ...] = ()
    cuts: list[int] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    url: str = ""

    def talk(self, connection: socket.socket, _stop: threading.Event) -> None:
        while request := _request(connection):
            found = re.search(r"(?im)^range: bytes=(\d+)-(\d+)", request)
            assert found, request
            first, last = int(found[1]), int(found[2])
            condition = re.search(r"(?im)^if-range: (.*?)\r?$", request)
            self.asked.append((first, last))
            self.conditions.append(condition[1] if condition else "")
            lines = ["HTTP/1.1 206 Partial Content", f"Content-Length: {last - first + 1}"]
            lines += [f"Content-Range: bytes {first}-{last}/{self.size}", *self.validators]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            end = min(last + 1, first + self.cuts.pop(0)) if self.cuts else last + 1
            for position in range(first, end, PIECE):
                connection.sendall(self.read(position, min(PIECE, end - position)))
            if end <= last:
                return


def _request(connection: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = connection.recv(4096)
        if not piece:
            return ""
        data += piece
    return data.decode()


@contextmanager
def range_server(size: int, read: Callable[[int, int], bytes], *validators: str) -> Iterator[RangeServer]:
    """Runs one; its ``url`` is where the file is."""
    server = RangeServer(size, read, validators)
    with raw_server(server.talk) as origin:
        server.url = f"{origin}/bundle"
        yield server
