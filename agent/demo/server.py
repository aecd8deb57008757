"""A small hawkBit compatible server for the demo and for tests. A TEST DOUBLE: never let real devices depend on it.

It keeps everything in memory, speaks DDI to devices, a part of the Management API to an operator, TLS to both, and it
can be told to misbehave (``faults``).
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

from agent.demo import server_actions as actions
from agent.demo import server_config, server_mgmt, server_rollouts, server_routes, server_send
from agent.demo.server_faults import Fault, Faults
from agent.demo.server_http import Answer, FileAnswer, Request, Seen, as_error
from agent.demo.server_state import State
from agent.demo.server_values import DistributionSet, Entry, Module, Refused, Target, Terms

BANNER = "TEST DOUBLE of a hawkBit server: in memory, NOT FOR PRODUCTION"
MAX_BODY = 1 << 20
MAX_UPLOAD = 1 << 30  # hawkBit's default for artifacts
_UPLOAD = re.compile(r"/rest/v1/softwaremodules/[^/]+/artifacts")


class DevServer:
    """The server; start it, use it, stop it (or use it in a ``with`` statement).

    Args:
        address: where to listen; port 0 takes a free one.
        cert: PEM file with the server's certificate; with ``key`` it speaks TLS, without both plain HTTP.
        key: PEM file with the private key.
        target_token: token of targets that are added without one of their own; empty gives each a random one.
        gateway_token: accepted for any controller id, which becomes a target by it; empty switches this off.
        sleep: polling interval to tell devices, ``HH:MM:SS``.
        user: name of the operator.
        password: of the operator; empty switches the Management API off.
        name: host name in ``url``; empty takes the address.
        configure: called with the TLS context before use, for odd protocol versions.
    """

    def __init__(
        self,
        address: tuple[str, int] = ("127.0.0.1", 0),
        cert: Path | None = None,
        key: Path | None = None,
        *,
        target_token: str = "",
        gateway_token: str = "",
        sleep: str = "00:00:01",
        tenant: str = "DEFAULT",
        user: str = "admin",
        password: str = "",
        name: str = "",
        configure: Callable[[ssl.SSLContext], None] | None = None,
    ) -> None:
        config = server_config.Config(least_polling=1)
        config.set(server_config.POLLING, sleep)
        if gateway_token:
            config.set(server_config.BY_GATEWAY, True)
            config.set(server_config.GATEWAY_KEY, gateway_token)
        self.state = State(config)
        self.lock = threading.RLock()
        self.faults = Faults()
        self.seen: deque[Seen] = deque(maxlen=10_000)
        self.problems: deque[str] = deque(maxlen=1000)
        self.rules = server_routes.Rules(tenant)
        self.login = (user, password)
        self.stopping = threading.Event()
        self._target_token = target_token
        self._uploads = tempfile.TemporaryDirectory(prefix="ota-devserver-")
        self.secure = cert is not None
        self._http = _Http(address, _Handler, self)
        self._tls: ssl.SSLContext | None = None
        if cert is not None:
            context = self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            if configure is not None:
                configure(context)
            # without this the handshake of one slow client would keep the others waiting
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self._name = name or address[0]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="devserver", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self.secure else 'http'}://{self._name}:{self.port}"

    def show_certificate(self, cert: Path, key: Path) -> None:
        """Presents another certificate from the next connection on, as if somebody else had taken the server's place."""
        if self._tls is None:
            raise ValueError("a server without TLS has no certificate")
        self._tls.load_cert_chain(cert, key)

    def start(self) -> DevServer:
        """Begins to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends all conversations and frees the port."""
        self.stopping.set()
        if self._thread.is_alive():
            self._http.shutdown()
        self._http.server_close()
        self._uploads.cleanup()

    def __enter__(self) -> DevServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def controller_url(self, controller_id: str) -> str:
        """The address that this device polls."""
        return f"{self.url}/{self.rules.tenant}/controller/v1/{controller_id}"

    def add_target(self, controller_id: str, token: str = "") -> Target:
        """Registers a device."""
        with self.lock:
            return self.state.add_target(controller_id, token or self._target_token)

    def upload(
        self,
        path: Path,
        *,
        name: str = "rootfs",
        version: str = "1.0.0",
        filename: str = "",
        part: str = "os",
        metadata: Mapping[str, str] | None = None,
    ) -> Module:
        """Makes a software module with one file, which is served from where it lies."""
        with self.lock:
            module = self.state.add_module(name, version, part, metadata)
            self.state.add_artifact(module, path, filename or path.name)
            return module

    def assign(
        self, controller_id: str, what: Module | DistributionSet, force: str = "forced", window: str = ""
    ) -> str:
        """Gives a device a module or set, and returns the id of the action.

        Args:
            controller_id: the device.
            what: the module or the distribution set.
            force: ``forced``, ``soft`` or ``downloadonly``; ``timeforced`` and schedules need the Management API.
            window: ``available`` or ``unavailable`` when there is a maintenance window.

        Raises:
            Refused: 404 for an unknown device, 409 when the device has it assigned already.
        """
        with self.lock:
            ds = self.state.add_set(what.name, what.version, (what,)) if isinstance(what, Module) else what
            action = actions.assign(self.state, controller_id, ds, Terms(force))
            if action is None:
                raise Refused(409, "already assigned")
            action.window = window or None
            return action.id

    def set_window(self, action_id: str, window: str) -> None:
        """Opens (``available``) or closes (``unavailable``) the maintenance window of an action."""
        with self.lock:
            action = self.state.find_action(action_id)
            action.window = window
            action.version += 1

    def cancel(self, action_id: str, *, force: bool = False) -> None:
        """Takes an action back."""
        with self.lock:
            end = actions.force_quit if force else actions.cancel
            end(self.state, self.state.find_action(action_id))

    def history(self, action_id: str) -> list[Entry]:
        """What has happened to an action, oldest first."""
        with self.lock:
            return list(self.state.find_action(action_id).entries)

    def action_status(self, action_id: str) -> str:
        """How an action is, in hawkBit's words: RUNNING, RETRIEVED, CANCELING, FINISHED, ERROR, CANCELED, DOWNLOADED, ..."""
        with self.lock:
            return self.state.find_action(action_id).status

    def target(self, controller_id: str) -> Target:
        """What the server knows of a device."""
        with self.lock:
            return self.state.find_target(controller_id)

    def requests(self, path: str = "") -> list[Seen]:
        """The requests whose path contains ``path``, oldest first."""
        return [seen for seen in list(self.seen) if path in seen.path]

    def answer(self, request: Request) -> Answer | FileAnswer:
        """Does what a request asks, and turns a refusal into an answer."""
        try:
            with self.lock:
                server_rollouts.run(self.state)
                answer = self._answer(request)
                server_rollouts.run(self.state)
                return answer
        except Refused as refusal:
            return as_error(refusal.status, refusal.message, refusal.code)

    def _answer(self, request: Request) -> Answer | FileAnswer:
        if request.path.startswith(server_mgmt.ROOT) and self.login[1]:
            server_mgmt.check_login(request, *self.login)
            return server_mgmt.answer(self.state, request, self.login[0])
        return server_routes.answer(self.state, self.rules, request)

    def keep_upload(self, read: Callable[[int], bytes], length: int) -> Path:
        """Stores a large body."""
        with self.lock:
            path = Path(self._uploads.name) / f"upload-{self.state.new_id()}"
        with path.open("xb") as file:
            while length > 0 and (piece := read(min(length, 1 << 20))):
                file.write(piece)
                length -= len(piece)
        return path


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], server: DevServer) -> None:
        self.dev = server
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that vanish and handshakes that fail are what tests provoke."""
        self.dev.problems.append(repr(client_address))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Http

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

    def _exchange(self) -> None:
        dev = self.server.dev
        request = self._request()
        seen = Seen(self.command, self.path, _lower(self.headers.items()))
        dev.seen.append(seen)
        fault = dev.faults.take(self.command, self.path)
        if fault.delay:
            dev.stopping.wait(fault.delay)
        try:
            if fault.status:
                seen.status, seen.sent = self._send(Answer(fault.status, fault.body, "", fault.headers))
            else:
                answer = dev.answer(request) if request is not None else as_error(413, "the body is too long")
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
        root = f"{'https' if self.server.dev.secure else 'http'}://{self.headers.get('Host', '')}"
        query = dict(parse_qsl(parts.query))
        client = f"http://{self.client_address[0]}"
        return Request(self.command, parts.path, query, _lower(self.headers.items()), body, root, upload, client)

    def _send(self, answer: Answer, fault: Fault | None = None) -> tuple[int, int]:
        headers = {**answer.headers, **(fault.headers if fault else {})}
        status, body = answer.status, answer.body
        if answer.cacheable and status == 200:
            etag = f'"{crc32(body):08x}"'
            headers["ETag"] = etag
            if self.headers.get("If-None-Match") == etag:
                status, body = 304, b""
        if answer.content_type and status != 304:
            headers["Content-Type"] = answer.content_type
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304) and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and body:
            if fault is not None and fault.drop_after is not None:
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


if __name__ == "__main__":
    from agent.demo.server_cli import main

    raise SystemExit(main())
