"""TLS for ``requests``: our context and nothing else. Verification cannot be switched off."""

from __future__ import annotations

import ssl
from typing import Any

from requests.adapters import HTTPAdapter

from agent.errors import ConfigError


def make_context(ca_pem: str) -> ssl.SSLContext:
    """Returns a client context: TLS 1.2 or later, chain and host name verified.

    Args:
        ca_pem: the certificates to trust, and no others; empty means those of the system.

    Raises:
        ConfigError: ``net.bad-ca`` when there is no certificate in ``ca_pem``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and name from the start
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
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
        ) from error
    return context


class TlsAdapter(HTTPAdapter):
    """Connects with our context.

    ``HTTPAdapter.cert_verify`` would add the certificates of ``certifi`` to any context it finds, and so trust two hundred
    authorities besides the configured one; and it would turn verification off when told ``verify=False``.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=2, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:  # noqa: ANN401  as in the base class
        """Hands the context to every connection."""
        super().init_poolmanager(connections, maxsize, block=block, **pool_kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:  # noqa: ANN401  as in the base class
        """Leaves the context alone, and verification on."""
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs = None
        conn.ca_cert_dir = None
