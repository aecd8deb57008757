"""HTTP requests under the terms of a session.

The obligations, whose numbers reappear below:

1. Only addresses that are allowed are asked, also after a redirect.
2. Credentials, a client certificate among them, go to the configured origin and nowhere else.
3. Redirects are followed here, at most five, and only for GET and HEAD.
4. Nothing from the environment (proxies, .netrc, certificate bundles) and no cookie has a say; the proxy is the
   configured one.
5. Every answer is bounded in size and in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import requests
import urllib3

from agent import __version__
from agent.errors import EnvironmentFault
from agent.fetcher import address
from agent.fetcher.deadline import DeadlinePassed, deadline
from agent.fetcher.failures import explain_failure, proxy_status
from agent.fetcher.terms import Terms
from agent.fetcher.tls import TlsAdapter, make_context
from agent.wire import WireError

MAX_REDIRECTS = 5
MAX_ERROR_BODY = 64 * 1024
PIECE = 64 * 1024
USER_AGENT = f"ota-agent/{__version__}"
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
# what the daemon gets to see; the rest of an answer's headers could fill its memory
PASSED_ON = ("content-type", "content-length", "date", "etag", "last-modified", "retry-after")
MAX_HEADER = 1024
_NOT_FROM_OUTSIDE = ("authorization", "cookie", "host", "user-agent", "accept-encoding", "content-length", "connection")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Session:
    """A conversation with one server (and with those it redirects to)."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        # Adapters and no requests.Session: that one would ask the environment, keep cookies and follow redirects.
        anonymous = make_context(terms.ca_pem)
        self._others = TlsAdapter(anonymous, anonymous, terms.proxy)
        self._home = self._others
        if terms.identity is not None:  # obligation 2: connections that know us are never used for anybody else
            self._home = TlsAdapter(make_context(terms.ca_pem, terms.identity), anonymous, terms.proxy)
        url = terms.proxy.url if terms.proxy is not None else None
        self._proxies = {"http": url, "https": url} if url else {}

    @property
    def terms(self) -> Terms:
        """The conditions of this session."""
        return self._terms

    def close(self) -> None:
        """Closes all connections."""
        self._home.close()
        self._others.close()

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", max_body: int = PIECE
    ) -> Answer:
        """Sends a request and returns the whole answer, whatever its status is.

        Args:
            method: one of ``METHODS``.
            url: the absolute address.
            headers: additional headers.
            body: what to send.
            max_body: more bytes than this in a successful answer are refused; those of an error page are cut off.

        Raises:
            EnvironmentFault: ``net.*``.
            WireError: ``ipc.protocol`` for a method or header that is not allowed.
        """
        limit = self._terms.connect_timeout + 2 * self._terms.read_timeout
        where = self.shown(url)
        try:
            with deadline(limit), self._exchange(method, url, headers, body) as response:
                content = _content(response, max_body, where)
        except DeadlinePassed as error:
            raise explain_failure(error, where) from None
        seen = {name.lower(): value[:MAX_HEADER] for name, value in response.headers.items()}
        return Answer(response.status_code, {name: seen[name] for name in PASSED_ON if name in seen}, content)

    def shown(self, url: str) -> str:
        """An address for error texts, with the proxy on the way to it."""
        proxy = self._terms.proxy
        return address.shown(url) + (f" through the proxy {proxy.url}" if proxy is not None else "")

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Sends the GET of a download and yields the answer with its body still to be read.

        Raises:
            EnvironmentFault: ``net.*``, also for what happens while the block reads.
        """
        where = self.shown(url)
        began = False
        try:
            with deadline(self._terms.connect_timeout + 2 * self._terms.read_timeout):
                response = self._follow("GET", url, headers, b"", known=self._terms.download_auth)
            began = True
            with response:
                yield response
        except (DeadlinePassed, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise explain_failure(error, where, in_body=began) from None

    @contextmanager
    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Iterator[requests.Response]:
        began = False
        where = self.shown(url)
        try:
            response = self._follow(method, url, headers, body)
            began = True
            with response:
                yield response
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise explain_failure(error, where, in_body=began) from None

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, known: bool = True
    ) -> requests.Response:
        if method not in METHODS or any(name.lower() in _NOT_FROM_OUTSIDE for name in headers):
            raise WireError("ipc.protocol", "a method or header that is not allowed was asked for", retryable=False)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(method, url, headers, body, known=known)
            location = response.headers.get("Location")
            if response.status_code not in (301, 302, 303, 307, 308) or location is None:
                return response
            response.close()
            if method not in ("GET", "HEAD"):  # obligation 3
                raise _redirected(f"a {method} to {address.shown(url)} was redirected")
            url = address.follow(url, location, self._terms.home)  # obligation 1
        raise _redirected(f"more than {MAX_REDIRECTS} in a row")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, known: bool
    ) -> requests.Response:
        origin = address.check(url, self._terms.home)  # obligation 1
        known = known and origin == self._terms.home  # obligation 2
        # Sizes and offsets are those of the file itself, so it must come unpacked.
        mine = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        if self._terms.credentials is not None and known:
            mine["Authorization"] = self._terms.credentials.header
        prepared = requests.Request(method, url, headers=mine, data=body or None).prepare()
        adapter = self._home if known else self._others
        patience = (self._terms.connect_timeout, self._terms.read_timeout)
        response = adapter.send(prepared, stream=True, timeout=patience, verify=True, proxies=self._proxies)
        in_the_open = self._proxies and origin.scheme == "http"  # out of a tunnel comes what the server says
        if response.status_code == 407 and in_the_open:
            response.close()
            raise proxy_status(407, self.shown(url))
        return response


def _content(response: requests.Response, max_body: int, where: str) -> bytes:
    """Obligation 5."""
    failed = response.status_code >= 400
    most = min(max_body, MAX_ERROR_BODY) if failed else max_body
    announced = response.raw.length_remaining  # None without a length, 0 for HEAD
    if announced is not None and announced > most and not failed:
        raise _too_large(where, f"{announced} bytes announced", most)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _protocol(where, "an encoded body was not asked for")
    body = bytearray()
    while len(body) <= most:
        piece = response.raw.read1(PIECE, decode_content=False)
        if not piece:
            return bytes(body)
        body += piece
    if failed:
        return bytes(body[:most])
    raise _too_large(where, "the answer did not end", most)


def _too_large(where: str, details: str, most: int) -> EnvironmentFault:
    return EnvironmentFault(
        "net.too-large",
        "the server's answer is too large",
        details=f"{where}: {details}, {most} are allowed",
        resolution="check that the configured address is a hawkBit compatible server",
        retryable=False,
    )


def _protocol(where: str, details: str) -> EnvironmentFault:
    return EnvironmentFault("net.protocol", "the server's answer is not as asked for", details=f"{where}: {details}")


def _redirected(details: str) -> EnvironmentFault:
    return EnvironmentFault(
        "net.redirect",
        "a redirect is not followed",
        details=details,
        resolution="configure the address that the server redirects to",
        retryable=False,
    )
