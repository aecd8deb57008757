"""One connection of the development server: reads requests, and sends answers as well or as badly as faults say."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from re import compile as pattern
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

from agent.demo import server_send
from agent.demo.server_faults import NO_FAULT, Fault
from agent.demo.server_http import Answer, FileAnswer, Peer, Request, Seen, as_error
from agent.demo.server_tls import common_name, issuer_hash

if TYPE_CHECKING:
    from agent.demo.server import DevServer

MAX_BODY = 1 << 20
MAX_UPLOAD = 1 << 30  # hawkBit's default for artifacts
_UPLOAD = pattern(r"/rest/v1/softwaremodules/[^/]+/artifacts")


class Http(ThreadingHTTPServer):
    """The listener; one thread for each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], server: DevServer) -> None:
        self.dev = server
        super().__init__(address, Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that vanish and handshakes that fail are what tests provoke."""
        self.dev.problems.append(repr(client_address))


class Handler(BaseHTTPRequestHandler):
    """See ``http.server``."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    server: Http
    _fault = NO_FAULT

    def setup(self) -> None:
        """Answers go out at once: Nagle's algorithm would hold small ones back."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        """See http.server."""
        self._exchange()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815  as above

    def log_message(self, format: str, *args: object) -> None:
        """Requests are kept in ``DevServer.seen`` instead."""

    def version_string(self) -> str:
        """Says what it is in every answer."""
        return "ota-agent-devserver (test double)"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The time of the answer, which a fault may shift."""
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self._fault.date_skew)

    def _exchange(self) -> None:
        dev = self.server.dev
        request = self._request()
        seen = Seen(self.command, self.path, _lower(self.headers.items()))
        dev.seen.append(seen)
        fault = self._fault = dev.fault_for(self.command, self.path)
        if fault.delay:
            dev.stopping.wait(fault.delay)
        try:
            if fault.status:
                seen.status, seen.sent = self._send(Answer(fault.status, fault.body), fault)
            else:
                answer = self._answer(request, fault)
                if fault.lose_answer:
                    raise server_send.Dropped(0)
                if isinstance(answer, FileAnswer):
                    seen.status, seen.sent = server_send.send_file(self, answer, fault, dev.stopping)
                else:
                    seen.status, seen.sent = self._send(answer, fault)
        except server_send.Dropped as dropped:
            seen.status, seen.sent = -1, dropped.sent
            self._hang_up(fault)
        except OSError as error:  # the client has left
            dev.problems.append(type(error).__name__)
            seen.status, self.close_connection = -1, True

    def _answer(self, request: Request | None, fault: Fault) -> Answer | FileAnswer:
        if request is None:
            return as_error(413, "the body is too long")
        answer = self.server.dev.answer(request, fault)
        return self.server.dev.answer(request, fault) if fault.twice else answer

    def _request(self) -> Request | None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        upload, body = None, b""
        if self.command == "POST" and _UPLOAD.fullmatch(parts.path) and 0 < length <= MAX_UPLOAD:
            upload = self.server.dev.keep_upload(self.rfile.read, length)
        elif length > MAX_BODY:
            self.close_connection = True
            return None
        else:
            body = self.rfile.read(length)
        # as hawkBit behind a TLS proxy with server.forward-headers-strategy=NATIVE, which it needs there
        forwarded = self.headers.get("X-Forwarded-Proto", "")
        scheme = forwarded if forwarded in ("http", "https") else "https" if self.server.dev.secure else "http"
        root = f"{scheme}://{self.headers.get('Host', '')}"
        query = dict(parse_qsl(parts.query))
        client = f"http://{self.client_address[0]}"
        headers = _lower(self.headers.items())
        return Request(self.command, parts.path, query, headers, body, root, upload, client, self._peer())

    def _peer(self) -> Peer | None:
        """Who the client is by its certificate; nobody when it could have shown one, and None when it could not."""
        if not self.server.dev.checks_clients or not isinstance(self.connection, ssl.SSLSocket):
            return None
        shown = self.connection.getpeercert(binary_form=True)
        return Peer(common_name(shown), issuer_hash(shown)) if shown else Peer("", "")

    def _send(self, answer: Answer, fault: Fault = NO_FAULT) -> tuple[int, int]:
        headers = dict(answer.headers)
        status, body = answer.status, answer.body
        if answer.cacheable and status == 200:
            etag = f'"{crc32(body):08x}"'
            headers["ETag"] = etag
            if self.headers.get("If-None-Match") == etag:
                status, body = 304, b""
        if answer.content_type and status != 304:
            headers["Content-Type"] = answer.content_type
        if status not in (204, 304) and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(body))
        server_send.send_head(self, status, headers, fault, self.server.dev.stopping)
        if self.command != "HEAD" and body:
            if fault.drop_after is not None:
                self.wfile.write(body[: fault.drop_after])
                raise server_send.Dropped(fault.drop_after)
            self.wfile.write(body)
        return status, len(body)

    def _hang_up(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _lower(pairs: object) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in pairs} if hasattr(pairs, "__iter__") else {}
