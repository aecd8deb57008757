"""What the daemon demands of a session: the trust, the credentials, the patience."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from agent.fetcher.address import Origin, origin_of
from agent.wire import WireError

MAX_TIMEOUT = 3600.0  # seconds
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_PROXY = re.compile(r"https?://[A-Za-z0-9._\-\[\]:]{1,255}:[0-9]{1,5}")
_LOGIN = re.compile(r"[^\x00-\x1f\x7f:]{1,255}:[^\x00-\x1f\x7f]{0,255}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token of hawkBit. It is left out of ``repr``, so that no traceback and no log can show it."""

    scheme: Literal["TargetToken", "GatewayToken"]
    token: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        return f"{self.scheme} {self.token}"


@dataclass(frozen=True, slots=True)
class Identity:
    """The device's certificate with those above it, and its key, in PEM."""

    chain: str = field(repr=False)  # the key may be in it
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and ``user:password`` for it or nothing."""

    url: str
    login: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What it is sent of us (RFC 7617); without our name it would get that of a library."""
        if not self.login:
            return {}
        return {"Proxy-Authorization": "Basic " + base64.b64encode(self.login.encode()).decode()}


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions of a session.

    Args:
        home: the configured origin, the only one that sees the credentials.
        ca_pem: certificates to trust; empty means those of the system.
        credentials: or None.
        identity: presented to the configured origin instead of credentials, or None.
        proxy: goes between us and everybody, or None.
        download_auth: downloads may show credentials, too.
        user: whom to run as; empty leaves it as it is.
        connect_timeout: seconds.
        read_timeout: seconds of silence that are tolerated.
        slow_rate: bytes per second; a download below it (0: none),
        slow_time: averaged over so many seconds, is given up.
        max_rate: bytes per second that a download may take at most; 0: any number.
    """

    home: Origin
    ca_pem: str = ""
    credentials: Credentials | None = None
    user: str = ""
    connect_timeout: float = 20.0
    read_timeout: float = 30.0
    slow_rate: float = 1024.0
    slow_time: float = 30.0
    identity: Identity | None = None
    proxy: Proxy | None = None
    download_auth: bool = True
    max_rate: float = 0.0


def parse_terms(message: Mapping[str, object]) -> Terms:
    """Reads a ``session`` message.

    Raises:
        WireError: ``ipc.protocol``; the value at fault is never quoted.
        EnvironmentFault: ``net.bad-url``.
    """
    defaults = Terms(origin_of("https://localhost"))
    return Terms(
        home=origin_of(_text(message, "origin")),
        ca_pem=_text(message, "ca_pem"),
        credentials=_credentials(message.get("auth")),
        user=_text(message, "user"),
        connect_timeout=_seconds(message, "connect_timeout", defaults.connect_timeout),
        read_timeout=_seconds(message, "read_timeout", defaults.read_timeout),
        slow_rate=_rate(message, "slow_rate", defaults.slow_rate),
        slow_time=_seconds(message, "slow_time", defaults.slow_time),
        identity=_identity(message.get("identity")),
        proxy=_proxy(message),
        download_auth=message.get("download_auth", True) is not False,
        max_rate=_rate(message, "max_rate", defaults.max_rate),
    )


def _text(message: Mapping[str, object], key: str) -> str:
    value = message.get(key, "")
    if not isinstance(value, str):
        raise WireError("ipc.protocol", f"the daemon sent a {key} that is no text")
    return value


def _seconds(message: Mapping[str, object], key: str, default: float, *, most: float = MAX_TIMEOUT) -> float:
    value = message.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= most:
        raise WireError("ipc.protocol", f"the daemon sent a {key} out of range")
    return float(value)


def _rate(message: Mapping[str, object], key: str, default: float) -> float:
    """Bytes per second; 0 stands for no limit."""
    return 0.0 if message.get(key, default) == 0 else _seconds(message, key, default, most=2.0**63)


def _identity(value: object) -> Identity | None:
    if value is None:
        return None
    chain = value.get("chain") if isinstance(value, dict) else None
    key = value.get("key") if isinstance(value, dict) else None
    if not isinstance(chain, str) or not isinstance(key, str):
        raise WireError("ipc.protocol", "the daemon sent a certificate or key that is no text")
    return Identity(chain, key)


def _proxy(message: Mapping[str, object]) -> Proxy | None:
    url, login = _text(message, "proxy"), _text(message, "proxy_login")
    if not url:
        return None
    if not _PROXY.fullmatch(url) or (login and not _LOGIN.fullmatch(login)):
        raise WireError("ipc.protocol", "the daemon sent a proxy that is no address, or no login for it")
    return Proxy(url, login)


def _credentials(value: object) -> Credentials | None:
    if value is None:
        return None
    scheme = value.get("scheme") if isinstance(value, dict) else None
    token = value.get("token") if isinstance(value, dict) else None
    if scheme not in ("TargetToken", "GatewayToken"):
        raise WireError("ipc.protocol", "the daemon sent an unknown kind of credentials")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise WireError("ipc.protocol", "the daemon sent a token with characters that no header may have")
    return Credentials(cast("Literal['TargetToken', 'GatewayToken']", scheme), token)
