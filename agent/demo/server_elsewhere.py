"""A second listener, as a content delivery network would be: it serves files to whoever knows their address.

Like storage that has signed its links it refuses requests with an ``Authorization``, which are none of its business.
"""

from __future__ import annotations

import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from agent.demo import server_send
from agent.demo.server_faults import NO_FAULT
from agent.demo.server_http import FileAnswer, Seen


class Elsewhere:
    """The listener; plain HTTP on a free port of the same address.

    Args:
        host: address to listen on.
        stopping: set when the development server ends.
    """

    def __init__(self, host: str, stopping: threading.Event) -> None:
        self.files: dict[str, FileAnswer] = {}
        self.seen: list[Seen] = []
        self.stopping = stopping
        self._host = host
        self._http = _Http((host, 0), self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="elsewhere", daemon=True)
        self._thread.start()

    def offer(self, file: FileAnswer) -> str:
        """An address of a file that cannot be guessed."""
        path = f"/{secrets.token_urlsafe(16)}/{quote(file.filename)}"
        self.files[path] = file
        return f"http://{self._host}:{self._http.server_address[1]}{path}"

    def stop(self) -> None:
        """Frees the port."""
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], elsewhere: Elsewhere) -> None:
        self.elsewhere = elsewhere
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that vanish are what tests provoke."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Http

    def do_GET(self) -> None:
        """See http.server."""
        elsewhere = self.server.elsewhere
        file = elsewhere.files.get(self.path)
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        elsewhere.seen.append(seen)
        if file is None or "Authorization" in self.headers:
            seen.status = 404 if file is None else 400
            server_send.send_head(self, seen.status, {"Content-Length": "0"}, NO_FAULT, elsewhere.stopping)
            return
        try:
            seen.status, seen.sent = server_send.send_file(self, file, NO_FAULT, elsewhere.stopping)
        except OSError:  # the client has left
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815  as http.server wants it

    def log_message(self, format: str, *args: object) -> None:
        """Requests are kept in ``Elsewhere.seen`` instead."""
