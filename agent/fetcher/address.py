"""Which addresses may be asked, and which of them may see the credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from agent.errors import EnvironmentFault

MAX_URL = 8192
_PORTS = {"https": 443, "http": 80}
# RFC 3986 in ASCII, without the backslash that some parsers take for a slash
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port (RFC 6454): what credentials belong to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def origin_of(url: str) -> Origin:
    """Returns the origin of an address.

    The parser that connects must read the address like the one that decides about credentials, so both are asked.

    Raises:
        EnvironmentFault: ``net.bad-url``, not retryable.
    """
    if not 0 < len(url) <= MAX_URL or not _CHARACTERS.fullmatch(url):
        raise _bad("it is empty, too long, or has characters that no address has")
    try:
        ours, theirs = urlsplit(url), parse_url(url)
        port = ours.port
    except (ValueError, HTTPError) as error:
        raise _bad("it cannot be parsed") from error
    scheme = ours.scheme.lower()
    if scheme not in _PORTS:
        raise _bad("its scheme is neither https nor http")
    if not ours.hostname or "@" in ours.netloc:
        raise _bad("it has no host, or a user name in it")
    host = ours.hostname.lower()
    seen = (theirs.scheme, (theirs.host or "").strip("[]").lower(), theirs.port, theirs.auth)
    if seen != (scheme, host, port, None) or port == 0:
        raise _bad("it can be read in two ways")
    return Origin(scheme, host, port or _PORTS[scheme])


def check(url: str, home: Origin) -> Origin:
    """Returns the origin of an address that may be asked.

    Args:
        url: the address.
        home: the configured origin; only when that is plain HTTP itself, HTTP is allowed elsewhere.

    Raises:
        EnvironmentFault: ``net.bad-url`` or ``net.insecure``, not retryable.
    """
    origin = origin_of(url)
    if origin.scheme == "http" and home.scheme != "http":
        raise EnvironmentFault(
            "net.insecure",
            "an address without encryption is refused",
            details=f"{origin} while the server is {home}",
            resolution="let the server hand out https links (its proxy must forward the scheme to it), or set "
            "server.rebase-links on this device",
            retryable=False,
        )
    return origin


def follow(url: str, location: str, home: Origin) -> str:
    """Returns the address that a redirect at ``url`` leads to.

    Raises:
        EnvironmentFault: ``net.bad-url`` or ``net.insecure``, not retryable.
    """
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise _bad("a redirect leads to it, and it cannot be parsed") from error
    after = check(target, home)
    if origin_of(url).scheme == "https" and after.scheme == "http":
        raise EnvironmentFault(
            "net.insecure",
            "a redirect from https to http is refused",
            details=f"to {after}",
            resolution="correct the redirect on the server",
            retryable=False,
        )
    return target.split("#", 1)[0]


def shown(url: str) -> str:
    """An address for error texts: without the query, which may hold a signature."""
    return url.split("?", 1)[0][:200]


def _bad(details: str) -> EnvironmentFault:
    return EnvironmentFault(
        "net.bad-url",
        "the address cannot be used",
        details=details,
        resolution="check the configured address and the links that the server hands out",
        retryable=False,
    )
