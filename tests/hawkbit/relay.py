"""Between a device and its server: passes every byte on, and breaks one connection in the middle of a download."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

_SIZE = 1 << 14


class Relay:
    """A listener on loopback.

    Args:
        url: of the server.
        cut_after: bytes of a download that arrive before its connection ends; once.

    Attributes:
        url: for the device.
        cuts: how many connections were broken.
        downloads: the heads of the requests for the file, in lower case, until the cut and after it.
    """

    def __init__(self, url: str, cut_after: int) -> None:
        where = urlsplit(url)
        self._server = (where.hostname or "", where.port or 80)
        self._cut_after = cut_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0
        self.downloads: tuple[list[str], list[str]] = ([], [])

    def __enter__(self) -> Relay:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                device, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(device,), daemon=True).start()

    def _serve(self, device: socket.socket) -> None:
        """The device speaks first, and waits for the answer before it speaks again."""
        with device, socket.create_connection(self._server) as server:
            back = threading.Thread(target=self._answer, args=(server, device), daemon=True)
            back.start()
            while data := _read(device):
                head = data.decode("latin-1").lower()
                if head.startswith("get ") and ("/artifacts/" in head or "/download " in head):  # hawkBit's, goosebit's
                    self.downloads[self.cuts].append(head)
                server.sendall(data)
            _end(server)
            back.join()

    def _answer(self, server: socket.socket, device: socket.socket) -> None:
        passed = 0
        while data := _read(server):
            if self.downloads[0] and not self.cuts:
                passed += len(data)
                if passed > self._cut_after:
                    self.cuts += 1
                    _send(device, data[: self._cut_after - passed])
                    break
            if not _send(device, data):
                break
        _end(device)
        _end(server)


def _read(sock: socket.socket) -> bytes:
    try:
        return sock.recv(_SIZE)
    except OSError:
        return b""


def _send(sock: socket.socket, data: bytes) -> bool:
    try:
        sock.sendall(data)
    except OSError:
        return False
    return True


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was first
        sock.shutdown(socket.SHUT_RDWR)
