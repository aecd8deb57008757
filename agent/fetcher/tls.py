"""TLS for ``requests``: our contexts and nothing else. Verification cannot be switched off."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import ProxyManager

from agent.errors import ConfigError
from agent.fetcher.terms import Identity, Proxy

_LAST_WORDS = 1.0  # seconds to wait for the alert of a server that has closed already


def make_context(ca_pem: str, identity: Identity | None = None) -> ssl.SSLContext:
    """Returns a client context: TLS 1.2 or later, chain and host name verified.

    Args:
        ca_pem: the certificates to trust, and no others; empty means those of the system.
        identity: presented to every server that asks for a certificate.

    Raises:
        ConfigError: ``net.bad-ca`` when there is no certificate in ``ca_pem``, ``net.client-cert`` when the identity cannot
            be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name from the start
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if identity is not None:
        _present(context, identity)
    if not ca_pem:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise ConfigError(
            "net.bad-ca",
            "the configured certificate authority cannot be read",
            details=str(getattr(error, "reason", "") or type(error).__name__),
            resolution="configure a PEM file with the authority's certificate",
            retryable=True,  # the file may just be written
        ) from error
    return context


def _present(context: ssl.SSLContext, identity: Identity) -> None:
    """Loads our certificate, those above it, and the key. OpenSSL wants files, so it gets files that lie in memory."""
    try:
        with _in_memory("chain", identity.chain) as chain, _in_memory("key", identity.key) as key:
            context.load_cert_chain(chain, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = str(getattr(error, "reason", "") or getattr(error, "strerror", "") or "")
        mismatch = reason == "KEY_VALUES_MISMATCH"
        hint = "set server.client-cert to the device's certificate, those above it after it, and server.client-key to its key"
        if mismatch:
            hint = "the first certificate of server.client-cert must be the one that was issued for server.client-key"
        raise ConfigError(
            "net.client-cert",
            "the client certificate and its key cannot be used",
            details="the key does not belong to the certificate" if mismatch else reason,
            resolution=hint,
            retryable=True,  # just now one of the two files may have been replaced, and the other not yet or in part
        ) from None


@contextmanager
def _in_memory(name: str, text: str) -> Iterator[str]:
    """A path to the text, in a file without a name that nobody but this user's processes can reach."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        os.fchmod(fd, 0o600)
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(text.encode("ascii"))
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _no_password() -> str:
    """Without this OpenSSL would ask at the terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted")


class _Connection(HTTPSConnection):
    """Hears a server out that closes while it is still being spoken to.

    A TLS 1.3 server judges our certificate when the handshake is over for us. Its alert arrives while the request is
    written, which then fails with a mere end of file.
    """

    def send(self, data: Any) -> None:  # noqa: ANN401  as in the base class
        """Sends; when that fails, the reason that the server gave is raised, if it gave one."""
        try:
            super().send(data)
        except (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError):
            if self.sock is not None:
                self.sock.settimeout(_LAST_WORDS)
                self.sock.recv(1)
            raise


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


_POOLS = {"http": HTTPConnectionPool, "https": _Pool}


class TlsAdapter(HTTPAdapter):
    """Connects with our context.

    ``HTTPAdapter.cert_verify`` would add the certificates of ``certifi`` to any context it finds, and so trust two hundred
    authorities besides the configured one; and it would turn verification off when asked to.

    Args:
        context: for the servers.
        proxy_context: for a proxy that speaks TLS; without a certificate of ours.
        proxy: whose login is sent, to it alone.
    """

    def __init__(
        self, context: ssl.SSLContext, proxy_context: ssl.SSLContext | None = None, proxy: Proxy | None = None
    ) -> None:
        self._context = context
        self._proxy_context = proxy_context
        self._proxy = proxy
        super().__init__(pool_connections=2, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:  # noqa: ANN401  as in the base class
        """Hands the context to every connection."""
        super().init_poolmanager(connections, maxsize, block=block, **pool_kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:  # noqa: ANN401  as in the base class
        """Says which server, and nothing about trust: requests before 2.32.3 puts its own context in the place of ours."""
        return super().build_connection_pool_key_attributes(request, verify, cert)[0], {}

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> ProxyManager:  # noqa: ANN401  as in the base class
        """Hands one context to the proxy and another to the servers behind it, which are reached by CONNECT."""
        manager: ProxyManager = super().proxy_manager_for(
            proxy,
            **proxy_kwargs,
            ssl_context=self._context,
            proxy_ssl_context=self._proxy_context,
            use_forwarding_for_https=False,
        )
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """The login for the proxy."""
        return self._proxy.headers if self._proxy is not None else {}

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:  # noqa: ANN401  as in the base class
        """Leaves the context alone, and verification on."""
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = None
        conn.ca_cert_dir = None
