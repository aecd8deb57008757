"""For how long will bundles still be believed, and the server?"""

from __future__ import annotations

import datetime
import pwd
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agent.clock import built
from agent.credentials import read_identity, read_proxy_login, read_token
from agent.doctor.finding import Finding, error, failure, note, ok, warning
from agent.doctor.subject import Subject
from agent.errors import OtaError

if TYPE_CHECKING:
    from cryptography import x509

    from agent.bundle.purpose import CheckPurpose
    from agent.bundle.trust import TrustPolicy

_SOON = datetime.timedelta(days=180)  # time for an update to reach every device of a fleet
_SOON_CLIENT = datetime.timedelta(days=30)
_SOON_CRL = datetime.timedelta(days=30)


def keyring(subject: Subject) -> Iterator[Finding]:
    """Whom bundles are believed."""
    from agent.bundle.keyring import load_keyring

    settings = subject.config.keyring
    try:
        trust = load_keyring(
            settings.path,
            cast("CheckPurpose", settings.check_purpose),
            directory=settings.directory,
            check_crl=settings.check_crl,
            allow_partial_chain=settings.allow_partial_chain,
            allowed_signer_cns=settings.allowed_signer_cns,
        )
    except OtaError as problem:
        yield failure("trust.keyring", problem)
        return
    yield ok("trust.keyring", f"{len(trust.anchors)} anchors, {len(trust.intermediates)} other certificates")
    yield from _certificates("trust.certificates", (*trust.anchors, *trust.intermediates), trust.anchors, _now(subject))
    yield from _lists(trust, _now(subject), checked=settings.check_crl)


def encryption(subject: Subject) -> Iterator[Finding]:
    """The key that opens encrypted bundles."""
    settings = subject.config.encryption
    if settings.key is None:
        return
    from agent.bundle.recipient import load_recipient_key

    try:
        load_recipient_key(settings.key, settings.cert or "")
    except OtaError as problem:
        yield failure("trust.encryption-key", problem)
    else:
        yield ok("trust.encryption-key", f"{settings.key} can be read by its owner only")


def server(subject: Subject) -> Iterator[Finding]:
    """What is needed to talk to the server, short of talking to it."""
    settings = subject.config.server
    if not settings.url:
        yield note("server.configured", "no server is configured")
        return
    yield ok("server.configured", settings.url)
    yield from _secrets(subject)
    if settings.ca_file is not None:
        yield from _authorities(subject)
    user = subject.config.fetcher.user
    if user:
        try:
            pwd.getpwnam(user)
        except KeyError:
            yield error("server.user", f"there is no user {user}")
        else:
            yield ok("server.user", user)


def _secrets(subject: Subject) -> Iterator[Finding]:
    """What this device proves itself with."""
    settings = subject.config.server
    if settings.client_cert is None:
        yield from _readable("server.token", lambda: read_token(settings), "the token")
    else:
        yield from _readable("server.client-key", lambda: read_identity(settings), "the client key")
        yield from _pem("server.client-cert", settings.client_cert, _now(subject), _SOON_CLIENT, needed=1)
    if settings.proxy_auth_file is not None:
        yield from _readable("server.proxy", lambda: read_proxy_login(settings), "the login for the proxy")


def _readable(row: str, read: Callable[[], object], what: str) -> Iterator[Finding]:
    try:
        read()
    except OtaError as problem:
        if problem.code == "config.credential-missing":  # only the service has it
            yield note(row, f"{problem.brief}: {problem.details}")
        else:
            yield failure(row, problem)
    else:
        yield ok(row, f"{what} can be read by its owner only")


def _pem(
    row: str, path: Path, now: datetime.datetime, soon: datetime.timedelta = _SOON, *, needed: int | None = None
) -> Iterator[Finding]:
    """Certificates in a file, of which one must be valid: any of them, or of the first ``needed``."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as problem:
        yield error(row, f"{path} cannot be read: {problem}"[:300])
    else:
        yield from _certificates(row, found, found[:needed], now, soon)


def _authorities(subject: Subject) -> Iterator[Finding]:
    path = subject.config.server.ca_file
    if path is not None:
        yield from _pem("server.ca-file", path, _now(subject))


def _certificates(
    row: str,
    certificates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime.datetime,
    near: datetime.timedelta = _SOON,
) -> Iterator[Finding]:
    """One finding: the worst that can be said of the certificates."""
    expired = [each for each in certificates if each.not_valid_after_utc < now]
    early = [each for each in certificates if each.not_valid_before_utc > now]
    soon = [each for each in certificates if now <= each.not_valid_after_utc < now + near]
    text = "; ".join(
        [f"{_name(each)} expired on {each.not_valid_after_utc:%Y-%m-%d}" for each in expired]
        + [f"{_name(each)} is not valid before {each.not_valid_before_utc:%Y-%m-%d}" for each in early]
        + [f"{_name(each)} expires in {(each.not_valid_after_utc - now).days} days" for each in soon]
    )
    valid = [each for each in anchors if each not in expired and each not in early]
    if not valid:
        yield error(row, text or "there is none")
    elif text:
        yield warning(row, text)
    else:
        first = min(each.not_valid_after_utc for each in certificates)
        yield ok(row, f"{len(certificates)} certificates, the first expires on {first:%Y-%m-%d}")


def _lists(trust: TrustPolicy, now: datetime.datetime, *, checked: bool) -> Iterator[Finding]:
    ends = {_issuer(each): each.next_update_utc for each in trust.crls}
    late = [f"that of {name} was to be replaced by {end:%Y-%m-%d}" for name, end in ends.items() if end and end < now]
    soon = [
        f"that of {name} is valid for {(end - now).days} more days"
        for name, end in ends.items()
        if end and now <= end < now + _SOON_CRL
    ]
    if late and checked:
        yield error("trust.crl", "; ".join(late))
    elif late or (soon and checked):
        yield warning("trust.crl", "; ".join([*late, *soon]))
    elif checked and not trust.crls:
        yield error("trust.crl", "revocation is checked, but the keyring holds no list")
    elif trust.crls and not checked:
        yield note("trust.crl", f"the keyring holds {len(trust.crls)} lists, but keyring.check-crl is off")
    elif checked:
        yield ok("trust.crl", f"{len(trust.crls)} lists, all of them current")


def _now(subject: Subject) -> datetime.datetime:
    """The clock, unless the system was built later: as certificates are checked."""
    moment = max(subject.places.clock.wall(), built(subject.config.system.clock_epoch))
    return datetime.datetime.fromtimestamp(moment, datetime.UTC)


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:80] or "a certificate without a name"


def _issuer(crl: x509.CertificateRevocationList) -> str:
    return crl.issuer.rfc4514_string()[:80]
