"""What a conversation with the server needs to know, read afresh for each: files may be replaced, and no secret is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from agent.config import Config
from agent.credentials import Identity, read_identity, read_proxy_login, read_token
from agent.daemon.network import Session
from agent.errors import BundleError, ConfigError

SOON = 30 * 86400.0  # seconds before the end of our certificate from which on it is warned of
MAX_AUTHORITIES = 26 * 1024  # bytes; with a chain and a key of 16 KiB each it fits into one message to the fetcher
_AGAIN = 86400.0  # seconds from one warning to the next

_log = logging.getLogger(__name__)


class Sessions:
    """Makes the terms of each conversation, and warns once a day of a client certificate that is about to expire.

    Args:
        config: see ``agent.config``.
        wall: seconds since 1970.
        max_rate: bytes per second that a download may take; without it, what is configured.
        fetcher_has: whether systemd gives credentials to the fetcher instead of this process.
    """

    def __init__(
        self,
        config: Config,
        wall: Callable[[], float],
        max_rate: Callable[[], int] | None = None,
        fetcher_has: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._wall = wall
        self._max_rate = max_rate or (lambda: config.server.max_rate)
        self._fetcher_has = fetcher_has
        self._warned = float("-inf")

    def __call__(self) -> Session:
        """Reads everything.

        Raises:
            ConfigError: ``config.ca-file``, and what ``agent.credentials`` raises.
        """
        server, there = self._config.server, self._fetcher_has()
        identity = read_identity(server, fetcher_has=there)
        if identity is not None:
            self._warn(identity)
        return Session(
            url=server.url,
            auth=read_token(server, fetcher_has=there),
            identity=identity,
            ca_pem=authorities(server.ca_file),
            user=self._config.fetcher.user,
            connect_timeout=server.connect_timeout,
            read_timeout=server.read_timeout,
            proxy=server.proxy,
            proxy_login=read_proxy_login(server, fetcher_has=there),
            download_auth=server.download_auth,
            max_rate=self._max_rate(),
            slow_rate=server.slow_rate,
            slow_time=server.slow_time,
        )

    def _warn(self, identity: Identity) -> None:
        now = self._wall()
        if abs(now - self._warned) < _AGAIN:
            return
        end = expiry(identity.chain)
        if end is None or end - now > SOON:
            return
        self._warned = now
        days = int(abs(end - now) // 86400)
        text = f"expires in {days} days" if end > now else f"expired {days} days ago"
        _log.warning(
            "the client certificate %s %s: the server will not accept this device without a new one",
            self._config.server.client_cert,
            text,
        )


def expiry(chain: str) -> float | None:
    """When the first of some certificates in PEM ends, in seconds since 1970; None when that cannot be read.

    The notAfter of RFC 5280, section 4.1: the daemon has no library for certificates.
    """
    import base64
    import datetime as dt

    from agent.bundle.der import elements

    body = chain.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END CERTIFICATE-----")[0]
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
        fields = elements(data, elements(data, elements(data)[0])[0])
        validity = fields[
            4 if fields[0].tag == 0xA0 else 3
        ]  # behind version (if there is one), number, algorithm, issuer
        end = elements(data, validity)[1]
        text = data[end.start : end.end].decode("ascii")
        if end.tag == 0x17:  # UTCTime: two digits of the year, from 1950 to 2049
            text = ("19" if text >= "5" else "20") + text
        return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC).timestamp()
    except (ValueError, IndexError, BundleError):
        return None


def authorities(path: Path | None) -> str:
    """The authorities of a server in PEM; empty stands for those of the system.

    Raises:
        ConfigError: ``config.ca-file``.
    """
    if path is None:
        return ""
    hint = "set server.ca-file to a PEM file, or leave it out to use the system's CAs"
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_AUTHORITIES + 1).decode("ascii")
    except (OSError, ValueError) as error:
        raise ConfigError(
            "config.ca-file", "the server's CA file cannot be read", details=str(error), resolution=hint, retryable=True
        ) from error
    if not pem.strip():  # for the fetcher an empty text stands for the system's authorities, which were not asked for
        raise ConfigError(
            "config.ca-file",
            "the server's CA file is empty",
            details=f"{path} trusts nobody",
            resolution=hint,
            retryable=True,
        )
    if len(pem) > MAX_AUTHORITIES:
        raise ConfigError(
            "config.ca-file", "the server's CA file is too large", details=f"{path} has more than {MAX_AUTHORITIES} bytes",
            resolution=f"put only the server's own authorities into it; {hint}", retryable=True,
        )  # fmt: skip
    return pem
