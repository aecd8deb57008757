"""A small HTTPS server that may ask for a client certificate, notes who came, and hands out one file in ranges."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.demo.server_tls import Tls


@dataclass
class Visit:
    """One request: who made it (common name of the certificate, or empty), what was asked, with which headers."""

    who: str
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Doorman:
    """What the server does and has seen."""

    url: str = ""
    file: bytes = b""
    location: str = ""  # where every path but /file is redirected to
    rejects_authorization: bool = False  # as object stores do that take it for their own
    visits: list[Visit] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    doorman: Doorman

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.doorman.visits.append(Visit(self._who(), self.command, self.path, headers))
        if self.doorman.rejects_authorization and "authorization" in headers:
            self._answer(400, b"only one way to authenticate is allowed")
        elif self.path.startswith("/file"):
            self._file(headers.get("range", ""))
        elif self.path.startswith("/status/"):
            self._answer(int(self.path.removeprefix("/status/")), b"")
        elif self.doorman.location:
            self._answer(302, b"", Location=self.doorman.location)
        else:
            self._answer(200, b"welcome")

    def _who(self) -> str:
        certificate: Any = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        names = [value for rdn in (certificate or {}).get("subject", ()) for key, value in rdn if key == "commonName"]
        return names[0] if names else ""

    def _file(self, wanted: str) -> None:
        data, found = self.doorman.file, re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", wanted)
        if found is None:
            self._answer(200, data, ETag='"e"')
            return
        first, last = int(found[1]), int(found[2])
        self._answer(206, data[first : last + 1], ETag='"e"', **{"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that is turned away is no error here."""


@contextmanager
def doorman(
    tls: Tls | None, clients: str = "", *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, optional: bool = False
) -> Iterator[Doorman]:
    """Runs the server.

    Args:
        tls: its identity; None for plain HTTP.
        clients: certificates in PEM of the authorities whose devices may enter; empty: nobody is asked.
        version: the highest of TLS.
        optional: whoever has no certificate may enter, too.
    """
    state = Doorman()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"doorman": state}))
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.cert, tls.key)
        context.maximum_version = version
        if clients:
            context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=clients)
        # the handshake belongs to the thread of the connection, not to the one that accepts all of them
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    state.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
