"""Conversations through the fetcher: the daemon itself never opens a network connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent.credentials import Identity
from agent.daemon.children import Child
from agent.errors import EnvironmentFault, from_explained
from agent.secret import Credential
from agent.wire import Frame

MAX_DOCUMENT = 1024 * 1024
_REST = 5.0  # seconds for the rest of an answer that has begun

Await = Callable[[Child, float], None]


@dataclass(frozen=True, slots=True)
class Session:
    """What a fetcher must know before it may do anything; secrets are read anew for each conversation.

    ``auth`` is the scheme (``TargetToken`` or ``GatewayToken``) and the token, or None; ``identity`` the certificate and key
    to use instead. ``proxy_login`` is ``user:password``. Instead of a secret there may be the credential that the fetcher has
    from systemd. Times are in seconds, rates in bytes per second.
    """

    url: str
    auth: tuple[str, str | Credential] | None = field(repr=False)
    ca_pem: str
    user: str
    connect_timeout: float
    read_timeout: float
    identity: Identity | None = None
    proxy: str = ""
    proxy_login: str | Credential = field(default="", repr=False)
    download_auth: bool = True
    max_rate: int = 0
    slow_rate: int = 1024
    slow_time: float = 30.0

    def opening(self) -> dict[str, object]:
        """The first message of a conversation."""
        parts = urlsplit(self.url)
        return {
            "op": "session",
            "origin": f"{parts.scheme}://{parts.netloc}",
            "auth": {"scheme": self.auth[0], "token": _secret(self.auth[1])} if self.auth else None,
            "ca_pem": self.ca_pem,
            "user": self.user,
            "connect_timeout": self.connect_timeout,
            "read_timeout": self.read_timeout,
            "identity": {"chain": self.identity.chain, "key": _secret(self.identity.key)} if self.identity else None,
            "proxy": self.proxy,
            "proxy_login": _secret(self.proxy_login),
            "download_auth": self.download_auth,
            "max_rate": self.max_rate,
            "slow_rate": self.slow_rate,
            "slow_time": self.slow_time,
        }


def _secret(value: str | Credential) -> str | dict[str, str]:
    return {"credential": value.name} if isinstance(value, Credential) else value


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the server; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ServerRefusal(EnvironmentFault):
    """The server answered with something else than success; ``response`` is what it said."""

    def __init__(self, code: str, brief: str, response: Response, *, details: str, resolution: str) -> None:
        retryable = response.status not in (404, 410)
        super().__init__(code, brief, details=details, resolution=resolution, retryable=retryable)
        self.response = response


class Conversation:
    """One fetcher, from its start to its end.

    Args:
        child: a started fetcher.
        session: sent first.
        await_one: waits for an answer, at most so many seconds; may raise to end the conversation.
    """

    def __init__(self, child: Child, session: Session, await_one: Await) -> None:
        self.child = child
        self._await = await_one
        self._terms = hash(session)  # no secret is kept
        self._serving = False
        # more than the fetcher's own patience with one answer, so that it is the fetcher who says what was wrong
        self._patience = session.connect_timeout + 2 * session.read_timeout + 30
        child.channel.send(session.opening())
        self._answer("ok")

    def request(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        """Makes one request with a small answer (at most 1 MiB).

        Raises:
            EnvironmentFault: whatever the fetcher reported (``net.*``), or that it died.
        """
        self.child.channel.send(
            {"op": "request", "method": method, "url": url, "headers": dict(headers or {}), "max_body": MAX_DOCUMENT},
            body,
        )
        frame = self._answer("response")
        names = frame.header.get("headers")
        if not isinstance(names, dict):
            raise EnvironmentFault("ipc.protocol", "the fetcher sent a response without headers")
        return Response(frame.number("status"), {str(k): str(v) for k, v in names.items()}, frame.body)

    def serve(self, url: str, size: int, fd: int, report: int = 0) -> None:
        """Lets the fetcher serve ranges of ``url`` to whoever holds the other end of the stream socket ``fd``.

        Args:
            url: the address.
            size: announced length in bytes.
            fd: the socket.
            report: bytes from one ``spent`` message of the fetcher to the next; 0 for none.
        """
        self.child.channel.send({"op": "serve", "url": url, "size": size, "report": report}, fds=(fd,))
        self._serving = True

    def spoken(self, timeout: float) -> Frame:
        """Returns what the fetcher says of what it serves: ``spent``, and at last ``served`` or ``error``.

        Raises:
            EnvironmentFault: it died, or is silent for so many seconds (``ipc.timeout``).
        """
        frame = self.child.receive(timeout)
        if frame.op != "spent":
            self._serving = False
        return frame

    @property
    def serving(self) -> bool:
        """Whether the fetcher has yet to say how the serving ended."""
        return self._serving

    def may_go_on(self, session: Session) -> bool:
        """Whether this is as good as a new conversation: the fetcher lives, is at rest, and was told the same."""
        return hash(session) == self._terms and not self._serving and self.child.alive()

    def close(self) -> None:
        """Ends the fetcher."""
        self.child.close()

    def connect(self, host: str, port: int) -> None:
        """Opens a TCP connection and closes it at once; no proxy is used.

        Raises:
            EnvironmentFault: ``net.dns``, ``net.connect``, ``net.timeout``, or that the fetcher died.
        """
        self.child.channel.send({"op": "connect", "host": host, "port": port})
        self._answer("connected")

    def _answer(self, expected: str) -> Frame:
        self._await(self.child, self._patience)
        frame = self.child.receive(_REST)
        if frame.op == "error":
            parts = frame.header.get("error")
            raise from_explained(parts if isinstance(parts, dict) else {})
        if frame.op != expected:
            raise EnvironmentFault("ipc.protocol", "the fetcher answered something else", details=frame.op[:60])
        return frame


class Network:
    """Starts conversations with the configured server, and keeps one for what follows at once.

    The fetcher that was told of an update reads its deployment, and then fetches the bundle: starting another one and
    greeting the server again costs more than many a request. But it holds memory, rights and a connection, so none is
    kept while the daemon waits for anything: whoever is going to wait calls ``dismiss``.

    Args:
        spawn: starts a fetcher.
        session: reads the configuration's secrets; called once for each conversation.
        await_one: see Conversation.
    """

    def __init__(self, spawn: Callable[[str], Child], session: Callable[[], Session], await_one: Await) -> None:
        self._spawn = spawn
        self._session = session
        self._await = await_one
        self._kept: Conversation | None = None

    @contextmanager
    def conversation(self, *, keep: bool = False) -> Iterator[Conversation]:
        """Lends the kept conversation, if it is as good as a new one, or a new one.

        Args:
            keep: another one follows at once; after an error it is ended all the same.

        Raises:
            OtaError: no fetcher could be started, or the secrets cannot be read.
        """
        talk = self._begin()
        try:
            yield talk
        except BaseException:
            talk.close()
            raise
        if keep:
            self.dismiss()
            self._kept = talk
        else:
            talk.close()

    def dismiss(self) -> None:
        """Ends what is kept."""
        talk, self._kept = self._kept, None
        if talk is not None:
            talk.close()

    def _begin(self) -> Conversation:
        kept, self._kept = self._kept, None
        try:
            session = self._session()
            if kept is not None and kept.may_go_on(session):
                talk, kept = kept, None
                return talk
        finally:
            if kept is not None:
                kept.close()
        child = self._spawn("fetcher")
        try:
            return Conversation(child, session, self._await)
        except BaseException:
            child.close()
            raise


def document(response: Response) -> bytes:
    """Returns the body of a successful answer.

    Raises:
        ServerRefusal: ``net.unauthorised``, ``net.not-found`` or ``net.http-status`` for anything but 2xx.
    """
    if 200 <= response.status < 300:
        return response.body
    codes = {401: "net.unauthorised", 403: "net.unauthorised", 404: "net.not-found", 410: "net.not-found"}
    raise ServerRefusal(
        codes.get(response.status, "net.http-status"),
        "the server refused the request",
        response,
        details=f"HTTP status {response.status}{_server_message(response.body)}",
        resolution="check the token and the controller id" if response.status in (401, 403) else "",
    )


def _server_message(body: bytes) -> str:
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {str(message)[:200]}"
