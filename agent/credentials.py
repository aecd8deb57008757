"""What this device proves itself with: a token, or a certificate with its key; and a password for the proxy.

Read afresh for each conversation, so that what is replaced counts from the next one on. Whoever replaces a file may be halfway
through just now, so that what is wrong with it ends no update at once: it is read again with the next try. The daemon reads
them, because they are root's; what they are good for is decided in the fetcher. Where systemd starts the fetcher, it gives
credentials (``credential:NAME``) to that process, and the daemon never sees them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent import secret
from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.config import ServerSettings

MAX_TOKEN_SIZE = 4096  # bytes; hawkBit's tokens have 32 characters
MAX_PEM = 16 * 1024  # bytes of a chain, and of a key; both fit into one message to the fetcher
_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----")
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_LOGIN = re.compile(r"[^\x00-\x1f\x7f:]{1,255}:[^\x00-\x1f\x7f]{0,255}")  # RFC 7617: no colon in the name, no controls


@dataclass(frozen=True, slots=True)
class Identity:
    """The device's certificate with those above it, and its private key, both in PEM."""

    chain: str = field(repr=False)  # the key may be in it
    key: str | secret.Credential = field(repr=False)


def check(server: ServerSettings, *, fetcher_has: bool = False) -> None:
    """Checks, as far as that is possible now, who may read the secrets.

    Args:
        server: the settings.
        fetcher_has: systemd gives credentials to the fetcher, and not to this process.

    Raises:
        ConfigError: ``config.token-readable``, ``config.secret-readable``, ``config.secret-owner``,
            ``config.credential-missing``.
    """
    for place, what in (
        (server.target_token_file, "token"),
        (server.gateway_token_file, "token"),
        (server.client_key, "client key"),
        (server.proxy_auth_file, "proxy password"),
    ):
        # Only the service has its credentials; a person who checks the configuration does not.
        absent = isinstance(place, secret.Credential) and (fetcher_has or "CREDENTIALS_DIRECTORY" not in os.environ)
        if place is not None and not absent:
            secret.check(place, what)


def read_token(server: ServerSettings, *, fetcher_has: bool = False) -> tuple[str, str | secret.Credential] | None:
    """Returns the scheme (``TargetToken`` or ``GatewayToken``) and the token for the server.

    Args:
        server: the settings.
        fetcher_has: a credential is not read here, but returned as such.

    Raises:
        ConfigError: ``config.token-missing`` (no file, empty or unreadable), ``config.token-readable``,
            ``config.secret-owner``, ``config.credential-missing``.
    """
    scheme, place = "TargetToken", server.target_token_file
    if place is None:
        scheme, place = "GatewayToken", server.gateway_token_file
    if place is None:
        return None
    return scheme, place if fetcher_has and isinstance(place, secret.Credential) else token_at(place)


def token_at(place: secret.Place) -> str:
    """Reads a token; raises as ``read_token`` does."""
    hint = "put one line with the token into it, and give it mode 0600"
    try:
        token = secret.read(place, "token", MAX_TOKEN_SIZE).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            "config.token-missing",
            f"the token file {place} cannot be read",
            details=_why(error),
            resolution=hint,
            retryable=True,
        ) from None
    if not token or len(token) > MAX_TOKEN_SIZE or not token.isprintable() or " " in token:
        brief = f"the token file {place} holds no token: one line of plain text"
        raise ConfigError("config.token-missing", brief, resolution=hint, retryable=True)
    return token


def read_identity(server: ServerSettings, *, fetcher_has: bool = False) -> Identity | None:
    """Returns the certificate and the key for the server.

    Whether they belong together is found out by the fetcher, because the daemon has no cryptography.

    Args:
        server: the settings.
        fetcher_has: see ``read_token``.

    Raises:
        ConfigError: ``config.client-cert``, ``config.client-key``, ``config.secret-readable``, ``config.secret-owner``,
            ``config.credential-missing``.
    """
    if server.client_cert is None or server.client_key is None:
        return None
    try:
        with server.client_cert.open("rb") as file:
            chain = file.read(MAX_PEM + 1).decode("ascii")
        if _KEY.search(chain):  # both in one file, which then is a secret, too
            chain = secret.read(server.client_cert, "client key", MAX_PEM).decode("ascii")
    except (OSError, ValueError) as error:
        raise _no_certificate(f"{server.client_cert}: {_why(error)}") from None
    if _CERTIFICATE not in chain or len(chain) > MAX_PEM:
        raise _no_certificate(f"{server.client_cert} is no PEM file with certificates, or larger than {MAX_PEM} bytes")
    place = server.client_key
    return Identity(chain, place if fetcher_has and isinstance(place, secret.Credential) else key_at(place))


def read_proxy_login(server: ServerSettings, *, fetcher_has: bool = False) -> str | secret.Credential:
    """Returns ``user:password`` for the proxy; empty for none.

    Args:
        server: the settings.
        fetcher_has: see ``read_token``.

    Raises:
        ConfigError: ``config.proxy-login``, ``config.secret-readable``, ``config.secret-owner``,
            ``config.credential-missing``.
    """
    place = server.proxy_auth_file
    if place is None:
        return ""
    return place if fetcher_has and isinstance(place, secret.Credential) else login_at(place)


def login_at(place: secret.Place) -> str:
    """Reads a login for the proxy; raises as ``read_proxy_login`` does."""
    hint = "put one line user:password into it"
    try:
        login = secret.read(place, "proxy password", MAX_TOKEN_SIZE).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        text = f"{place}: {_why(error)}"
        raise ConfigError(
            "config.proxy-login",
            "the login for the proxy cannot be read",
            details=text,
            resolution=hint,
            retryable=True,
        ) from None
    if not _LOGIN.fullmatch(login):
        brief = f"{place} holds no login for the proxy"
        raise ConfigError("config.proxy-login", brief, resolution=hint, retryable=True)
    return login


def key_at(place: secret.Place) -> str:
    """Reads a private key; raises as ``read_identity`` does."""
    try:
        key = secret.read(place, "client key", MAX_PEM).decode("ascii")
    except (OSError, ValueError) as error:
        raise _no_key("the client key cannot be read", f"{place}: {_why(error)}") from None
    found = _KEY.search(key)
    if found is None or len(key) > MAX_PEM:
        raise _no_key("the client key cannot be used", f"{place} is no PEM file with a private key")
    if "ENCRYPTED" in found[1] or "Proc-Type: 4,ENCRYPTED" in key:
        raise _no_key(
            "the client key is encrypted",
            f"{place}: nobody is there to type the password",
            f"store it without one (openssl pkey -in {place}) with mode 0600, or as a credential that systemd encrypts",
        )
    return key


def _no_certificate(details: str) -> ConfigError:
    return ConfigError(
        "config.client-cert",
        "the client certificate cannot be read",
        details=details,
        resolution="set server.client-cert to a PEM file with the device's certificate, followed by those above it",
        retryable=True,
    )


def _no_key(brief: str, details: str, resolution: str = "") -> ConfigError:
    return ConfigError(
        "config.client-key",
        brief,
        details=details,
        resolution=resolution or "set server.client-key to a PEM file with the certificate's private key",
        retryable=True,
    )


def _why(error: Exception) -> str:
    """The operating system's reason; of a text that is not ASCII nothing, because the error would quote it."""
    return error.strerror or "" if isinstance(error, OSError) else "it is no plain text"
