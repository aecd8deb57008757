"""Servers that run: each kind is started by one function, and looks the same to a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.management import Management

from agent.demo.server import DevServer
from agent.demo.server_tls import make_tls
from hawkbit import java
from hawkbit.features import features_of
from hawkbit.goosebit import VERSION, Goosebit, running_goosebit

GATEWAY = "a-gateway-token-for-tests"
PASSWORD = "admin"


@dataclass(frozen=True, slots=True)
class Instance:
    """A server.

    Args:
        kind: ``development``, ``hawkbit-old``, ``hawkbit-new`` or ``goosebit``.
        url: scheme, host and port.
        management: its Management API, if it has hawkBit's.
        features: what it can do (``features.py``).
        gateway_token: lets any device in; empty when there is none.
        ca: PEM file of its authority when it speaks TLS.
        server: the object itself where it runs in this process.
        version: of a server that is not ours.
        goosebit: goosebit's management API, where it is goosebit.
    """

    kind: str
    url: str
    management: Management | None
    features: frozenset[str]
    gateway_token: str = ""
    ca: Path | None = None
    server: DevServer | None = None
    version: str = ""
    goosebit: Goosebit | None = None

    def controller_url(self, controller_id: str, tenant: str = "DEFAULT") -> str:
        """The address that a device polls."""
        return f"{self.url}/{tenant}/controller/v1/{controller_id}"


@contextmanager
def _development(directory: Path, *, plain: bool = True, **options: Any) -> Iterator[Instance]:
    tls = None if plain else make_tls(directory / "devserver-tls")
    files = (tls.cert, tls.key) if tls else (None, None)
    options = {"gateway_token": GATEWAY, "password": PASSWORD, **options}
    with DevServer(("127.0.0.1", 0), *files, **options) as server:
        management = Management(server.url, password=options["password"], verify=str(tls.ca) if tls else True)
        yield Instance(
            "development",
            server.url,
            management,
            features_of("development"),
            options["gateway_token"],
            tls.ca if tls else None,
            server,
        )


def _hawkbit(kind: str) -> Callable[..., AbstractContextManager[Instance]]:
    @contextmanager
    def run(directory: Path, *, properties: Mapping[str, str] | None = None) -> Iterator[Instance]:
        which = kind.removeprefix("hawkbit-").upper()
        if given := os.environ.get(f"HAWKBIT_URL_{which}"):
            yield _prepared(kind, given, os.environ.get(f"HAWKBIT_VERSION_{which}", "1.1.0"))
            return
        program = java.find(kind)
        with java.running_java(program, directory, properties) as url:
            yield _prepared(kind, url, program.version)

    return run


def _prepared(kind: str, url: str, version: str) -> Instance:
    """hawkBit lets nobody in before it is told how devices prove who they are."""
    user, _, password = os.environ.get("HAWKBIT_LOGIN", f"admin:{PASSWORD}").partition(":")
    management = Management(url, user, password)
    management.configure("authentication.targettoken.enabled", True)
    management.configure("authentication.gatewaytoken.enabled", True)
    management.configure("authentication.gatewaytoken.key", GATEWAY)
    return Instance(kind, url, management, features_of(kind, version), GATEWAY, version=version)


@contextmanager
def _goosebit(directory: Path) -> Iterator[Instance]:
    with running_goosebit(directory) as url:
        yield Instance("goosebit", url, None, features_of("goosebit"), version=VERSION, goosebit=Goosebit(url))


_KINDS: Mapping[str, Callable[..., AbstractContextManager[Instance]]] = {
    "development": _development,
    "hawkbit-old": _hawkbit("hawkbit-old"),
    "hawkbit-new": _hawkbit("hawkbit-new"),
    "goosebit": _goosebit,
}


@contextmanager
def running(kind: str, directory: Path, **options: Any) -> Iterator[Instance]:
    """Runs a server until the ``with`` statement ends.

    Args:
        kind: which one.
        directory: an existing folder for its files and its log.
        options: of that kind; for ``development`` those of DevServer, and ``plain`` (HTTP, the default) or TLS;
            for hawkBit ``properties``, its settings.

    Raises:
        java.Unavailable: the server is not on this machine; the message says why.
    """
    with _KINDS[kind](directory, **options) as instance:
        yield instance
