"""Names what went wrong on the network: from the exceptions of three libraries to one stable code.

Texts of ``requests`` and ``urllib3`` are never passed on, because they quote addresses and headers; only the innermost
cause is, which is the operating system's or OpenSSL's.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions

from agent.errors import EnvironmentFault
from agent.fetcher.deadline import DeadlinePassed

# X509_V_ERR_* of OpenSSL's x509_vfy.h
_EXPIRED = (9, 10)  # not yet valid, has expired
_WRONG_NAME = (62, 64)  # host name mismatch, IP address mismatch
# OpenSSL's names for the alerts of RFC 8446, section 6.2, that a server sends about the certificate of a client
_ABOUT_OURS = {
    "SSLV3_ALERT_BAD_CERTIFICATE": "it finds it wrong",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it does not take certificates of this kind",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it was revoked",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired, or is not valid yet",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it finds it unacceptable",
    "SSLV3_ALERT_NO_CERTIFICATE": "it wants one",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority that issued it",
    "TLSV1_ALERT_ACCESS_DENIED": "this device may not enter",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants one, and there is none",
}
_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})")  # http.client, when CONNECT is refused


def explain_failure(error: BaseException, where: str, *, in_body: bool = False) -> EnvironmentFault:
    """Returns the explained form of an exception that ``requests`` or ``urllib3`` raised.

    Args:
        error: the exception.
        where: the address for the text, without query.
        in_body: the answer had begun.
    """
    causes = list(_causes(error))
    if (found := _of_the_proxy(causes, where)) is not None:
        return found
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, where)
        if isinstance(cause, ssl.SSLError) and cause.reason in _ABOUT_OURS:
            return _rejected(cause.reason, where)
    for cause in causes:
        found = _plain(cause, where, in_body=in_body)
        if found is not None:
            return found
    return _fault("net.connect", "the connection to the server failed", where, _text(causes[-1]))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and everything it wraps, outermost first; bounded, because chains can be circular."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < 32:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        waiting.extend(value for value in inner if isinstance(value, BaseException))


def _of_the_proxy(causes: list[BaseException], where: str) -> EnvironmentFault | None:
    """What happened before there was a way to the server."""
    for cause in causes:
        if isinstance(cause, OSError) and (found := _TUNNEL.match(str(cause))):
            return proxy_status(int(found[1]), where)
    if not any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes):
        return None
    inner = [c for c in causes if isinstance(c, OSError) and not isinstance(c, requests.RequestException)]
    verified = [c for c in inner if isinstance(c, ssl.SSLCertVerificationError)]
    reason = getattr(verified[0], "verify_message", "") if verified else _text(inner[-1]) if inner else ""
    hint = "check server.proxy, and for an https proxy that server.ca-file knows its authority"
    return _fault("net.proxy", "the proxy cannot be reached", where, reason, hint)


def proxy_status(status: int, where: str) -> EnvironmentFault:
    """The error for an answer of the proxy itself."""
    if status in (401, 407):  # tinyproxy answers 401 when the password is wrong
        hint = "put user:password for the proxy into server.proxy-auth-file"
        return _fault("net.proxy-login", "the proxy does not accept our login", where, f"{status} from the proxy", hint)
    hint = "check that the proxy may connect to the server, and that the server is there"
    return _fault("net.proxy", "the proxy does not connect us to the server", where, f"{status} from the proxy", hint)


def _certificate(error: ssl.SSLCertVerificationError, where: str) -> EnvironmentFault:
    code, text = getattr(error, "verify_code", 0), getattr(error, "verify_message", "") or "no reason given"
    if code in _EXPIRED:
        hint = "renew the server's certificate, or set this device's clock"
        return _fault("net.tls-expired", "the server's certificate is not valid now", where, text, hint)
    if code in _WRONG_NAME:
        hint = "use the name that is in the certificate, or issue one for this name"
        return _fault("net.tls-name", "the server's certificate is for another name", where, text, hint)
    hint = "configure the authority that issued the server's certificate; somebody may be in between"
    return _fault("net.tls-untrusted", "the server's certificate is not trusted", where, text, hint)


def _rejected(reason: str, where: str) -> EnvironmentFault:
    hint = "check server.client-cert and server.client-key, and which authorities the server accepts"
    if reason == "SSLV3_ALERT_CERTIFICATE_EXPIRED":
        hint = "renew the certificate in server.client-cert, or set the server's clock"
    brief = "the server does not accept our certificate"
    return _fault("net.client-rejected", brief, where, _ABOUT_OURS[reason], hint)


def _plain(cause: BaseException, where: str, *, in_body: bool) -> EnvironmentFault | None:
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) and in_body:
        return short_body(where, "the encrypted connection ended early")
    if isinstance(cause, ssl.SSLError | urllib3.exceptions.SSLError | requests.exceptions.SSLError):
        inner = [c for c in _causes(cause) if isinstance(c, ssl.SSLError)]
        reason = str(getattr(inner[0], "reason", "") or "") if inner else ""
        hint = "the server must offer TLS 1.2 or later; it may also want a client certificate (server.client-cert)"
        return _fault("net.tls-failed", "no encrypted connection could be made", where, reason, hint)
    if isinstance(cause, urllib3.exceptions.NameResolutionError | socket.gaierror):
        hint = "check the server's name and this device's name servers"
        return _fault("net.dns", "the server's name could not be resolved", where, "", hint)
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return None  # a kind of timeout in urllib3, whatever happened; the cause inside tells
    if isinstance(cause, DeadlinePassed | TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
        return _fault("net.timeout", "the server did not answer in time", where, "")
    if isinstance(cause, http.client.IncompleteRead | urllib3.exceptions.IncompleteRead):
        return short_body(where, "fewer bytes came than the server had announced")
    if isinstance(cause, http.client.RemoteDisconnected):
        return _fault("net.connect", "the server closed the connection without an answer", where, "")
    if isinstance(cause, http.client.HTTPException | urllib3.exceptions.InvalidHeader):
        return _fault("net.protocol", "the server's answer is no valid HTTP", where, type(cause).__name__)
    if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
        if in_body:
            return short_body(where, _text(cause))
        return _fault("net.connect", "the connection to the server failed", where, _text(cause))
    return None


def short_body(where: str, details: str) -> EnvironmentFault:
    """The answer broke off: ``net.short-body``."""
    return _fault("net.short-body", "the answer of the server broke off", where, details)


def _text(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__


def _fault(code: str, brief: str, where: str, details: str, resolution: str = "") -> EnvironmentFault:
    return EnvironmentFault(
        code,
        brief,
        details=f"{where}: {details}" if details else where,
        resolution=resolution or "check the network and the server; it will be tried again",
    )


def http_status(status: int, where: str) -> EnvironmentFault:
    """The error for a status that is no success."""
    if status == 401:
        hint = (
            "check the token, the controller id and the tenant, and that the server accepts this kind of credentials "
            "(hawkBit: authentication.targettoken.enabled, .gatewaytoken.enabled, .header.enabled)"
        )
        return _fault("net.unauthorised", "the server does not accept our credentials", f"401 from {where}", "", hint)
    if status in (404, 410):
        hint = "the action may have been cancelled; ask the server again"
        return _fault(
            "net.not-found", "the server does not have what was asked for", f"{status} from {where}", "", hint
        )
    return _fault("net.http-status", "the server answered with an error", f"{status} from {where}", "")
