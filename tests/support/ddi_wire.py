"""A network in memory for ``agent.daemon.server``: a test chooses what is answered, and sees what was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from agent.daemon.network import Response
from agent.daemon.server import Server
from agent.errors import EnvironmentFault
from support.pretend import Clock, Disk

BASE = "https://server/DEFAULT/controller/v1/dev"


class Wire:
    """Answers by method and the end of the address without its query; a GET without an answer of its own gets ``base``."""

    def __init__(self) -> None:
        self.base: dict[str, Any] = {"config": {"polling": {"sleep": "00:10:00"}}, "_links": {}}
        self.etag = ""
        self.documents: dict[str, Any] = {}
        self.answers: dict[tuple[str, str], int] = {}
        self.sent: list[tuple[str, str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.down = False

    @contextmanager
    def conversation(self, *, keep: bool = False) -> Iterator[Wire]:
        if self.down:
            raise EnvironmentFault("net.connect", "no network")
        yield self

    def request(self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        self.sent.append((method, url.removeprefix(BASE), json.loads(body) if body else {}))
        self.headers.append(headers or {})
        path = url.partition("?")[0]
        status = next(
            (code for (verb, end), code in self.answers.items() if verb == method and path.endswith(end)), 200
        )
        if method != "GET":
            return Response(status, {}, b"")
        if path.removeprefix(BASE) in self.documents:
            return Response(status, {}, json.dumps(self.documents[path.removeprefix(BASE)]).encode())
        if self.etag and self.headers[-1].get("If-None-Match") == self.etag:
            return Response(304, {"etag": self.etag}, b"")
        return Response(status, {"etag": self.etag} if self.etag else {}, json.dumps(self.base).encode())

    def link(self, name: str, path: str) -> None:
        """The server links to something from now on."""
        self.base["_links"][name] = {"href": f"{BASE}/{path}"}

    def puts(self, end: str) -> list[Any]:
        """The bodies that were put to an address."""
        return [body for method, path, body in self.sent if method == "PUT" and path.endswith(end)]


class Own:
    """What the device says of itself."""

    def __init__(self) -> None:
        self.values: dict[str, str | None] = {"version": "1.0.0"}
        self.confirmed = ""


def server(
    wire: Wire, disk: Disk, own: Own | None = None, clock: Clock | None = None, confirmation: str = "ask"
) -> Server:
    """A server whose network and medium are in the hands of a test."""
    own = own or Own()
    settings = SimpleNamespace(
        url="https://server", tenant="DEFAULT", controller_id="dev", poll_min=30.0, poll_max=86400.0,
        poll_first_delay=0.0, poll_splay=0.0, check_interval=0.0, rebase_links=False, confirmation=confirmation,
    )  # fmt: skip
    return Server(settings, wire, disk, clock or Clock(), lambda: own.values, lambda: own.confirmed)  # type: ignore[arg-type]  # same shape
