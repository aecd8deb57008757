"""A small hawkBit compatible server for the demo and for tests. A TEST DOUBLE: never let real devices depend on it.

It keeps everything in memory, speaks DDI to devices, a part of the Management API to an operator, TLS to both, and it
can be told to misbehave (``faults``).
"""

from __future__ import annotations

import ssl
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography import x509

from agent.demo import server_actions as actions
from agent.demo import server_config, server_controls, server_lies, server_mgmt, server_rollouts, server_routes
from agent.demo.server_elsewhere import Elsewhere
from agent.demo.server_faults import NO_FAULT, Fault, Faults
from agent.demo.server_handler import Http
from agent.demo.server_http import Answer, FileAnswer, Request, Seen, as_error
from agent.demo.server_state import State
from agent.demo.server_tls import Tls, name_hash
from agent.demo.server_values import DistributionSet, Entry, Module, Refused, Target, Terms

BANNER = "TEST DOUBLE of a hawkBit server: in memory, NOT FOR PRODUCTION"


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
        client_ca: PEM file with the authorities of devices' certificates. A device is then who its certificate names,
            as with a proxy in front of hawkBit; headers that only such a proxy may set are not looked at.
        client_certs: ``required``, or ``optional`` to accept tokens of devices without a certificate as well.
        variants: other certificates to present on demand (``present``).
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
        client_ca: Path | None = None,
        client_certs: str = "required",
        variants: Mapping[str, Tls] | None = None,
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
        self.checks_clients = client_ca is not None
        self.variants = dict(variants or {})
        self._elsewhere: Elsewhere | None = None
        self._address = address
        self._http = Http(address, self)
        self._tls = _context(cert, key, client_ca, client_certs) if cert is not None else None
        if self._tls is not None:
            if configure is not None:
                configure(self._tls)
            # without this the handshake of one slow client would keep the others waiting
            self._http.socket = self._tls.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
        if client_ca is not None:
            known = x509.load_pem_x509_certificates(client_ca.read_bytes())
            config.set(server_config.BY_HEADER, True)
            config.set(server_config.AUTHORITY, ",".join(name_hash(authority.subject) for authority in known))
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

    def present(self, variant: str) -> None:
        """Presents one of ``variants`` from the next connection on; ``old`` also speaks nothing newer than TLS 1.1."""
        if self._tls is None:
            raise ValueError("a server without TLS has no certificate")
        if variant not in (*self.variants, "old"):
            raise ValueError(f"there is no certificate {variant}")
        oldest, newest = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.MAXIMUM_SUPPORTED
        if variant == "old":
            self._tls.set_ciphers("ALL:@SECLEVEL=0")
            oldest, newest = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that they are old is why they are wanted
            self._tls.minimum_version, self._tls.maximum_version = oldest, newest
        if shown := self.variants.get("good" if variant == "old" else variant):
            self.show_certificate(shown.cert, shown.key)

    @property
    def elsewhere(self) -> Elsewhere:
        """The second listener, which begins when it is first wanted."""
        with self.lock:
            if self._elsewhere is None:
                self._elsewhere = Elsewhere(self._address[0], self.stopping)
            return self._elsewhere

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
        if self._elsewhere is not None:
            self._elsewhere.stop()
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

    def fault_for(self, method: str, path: str) -> Fault:
        """The fault that strikes a request; operators are spared."""
        if path.startswith((server_mgmt.ROOT, server_controls.ROOT)):
            return NO_FAULT
        return self.faults.take(method, path)

    def answer(self, request: Request, fault: Fault = NO_FAULT) -> Answer | FileAnswer:
        """Does what a request asks, and turns a refusal into an answer."""
        try:
            with self.lock:
                server_rollouts.run(self.state)
                answer = self._answer(server_lies.bend_request(request, fault))
                server_rollouts.run(self.state)
        except Refused as refusal:
            return as_error(refusal.status, refusal.message, refusal.code)
        if isinstance(answer, Answer):
            return server_lies.bend_answer(answer, fault)
        if fault.elsewhere:
            return Answer(302, headers={"Location": self.elsewhere.offer(answer)})
        return answer

    def _answer(self, request: Request) -> Answer | FileAnswer:
        for root, operate in ((server_mgmt.ROOT, self._manage), (server_controls.ROOT, self._control)):
            if request.path.startswith(root) and self.login[1]:
                server_mgmt.check_login(request, *self.login)
                return operate(request)
        return server_routes.answer(self.state, self.rules, request)

    def _manage(self, request: Request) -> Answer:
        return server_mgmt.answer(self.state, request, self.login[0])

    def _control(self, request: Request) -> Answer:
        return server_controls.answer(self, request)

    def keep_upload(self, read: Callable[[int], bytes], length: int) -> Path:
        """Stores a large body."""
        with self.lock:
            path = Path(self._uploads.name) / f"upload-{self.state.new_id()}"
        with path.open("xb") as file:
            while length > 0 and (piece := read(min(length, 1 << 20))):
                file.write(piece)
                length -= len(piece)
        return path


def _context(cert: Path, key: Path | None, client_ca: Path | None, client_certs: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL}[client_certs]
    return context


if __name__ == "__main__":
    from agent.demo.server_cli import main

    raise SystemExit(main())
