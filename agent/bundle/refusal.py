"""Why a chain of certificates was refused, told so that somebody can act on it.

The library that decided says little. This looks at the same certificates again and names the likely reason. It decides
nothing: it runs only after the refusal, and whatever it finds, the bundle stays refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from agent.bundle.purpose import PurposeRule
from agent.bundle.strength import HASHES, check_certificate
from agent.errors import BundleError

_MAX_CHECKS = 64  # signatures looked at; enough for every sensible set of certificates
_MAX_PATHS = 8

_Path = tuple[x509.Certificate, ...]


def explain_refusal(
    signer: x509.Certificate,
    pool: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    rule: PurposeRule,
    when: datetime,
    message: str,
) -> BundleError:
    """Returns the error that says best why ``signer`` was refused.

    Args:
        signer: the certificate of the signer.
        pool: further certificates that the library could use.
        anchors: the trusted certificates.
        rule: what they had to be good for.
        when: the time of verification.
        message: what the library said.
    """
    complete, longest = _search(signer, pool, anchors)
    if not complete:
        return _untrusted(_why_no_path(longest, anchors))
    faults = min((_faults(path, anchors, rule, when) for path in complete), key=len)
    return faults[0] if faults else _untrusted(f"a chain to the keyring exists, but was refused: {message}"[:400])


def _search(
    signer: x509.Certificate, pool: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> tuple[list[_Path], _Path]:
    """Returns the chains that end in an anchor, and the longest one that does not."""
    complete: list[_Path] = []
    longest: _Path = (signer,)
    waiting: list[_Path] = [(signer,)]
    checks = _MAX_CHECKS
    while waiting and checks > 0 and len(complete) < _MAX_PATHS:
        path = waiting.pop()
        longest = max(longest, path, key=len)
        for issuer in _candidates(path, [*pool, *anchors]):
            checks -= 1
            if not _issued_by(path[-1], issuer):
                continue
            if issuer in anchors:
                complete.append((*path, issuer))
            else:
                waiting.append((*path, issuer))
    return complete, longest


def _candidates(path: _Path, certificates: Sequence[x509.Certificate]) -> Iterator[x509.Certificate]:
    return (each for each in certificates if each.subject == path[-1].issuer and each not in path)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in HASHES:
        return True  # the library may not even try such a signature; the name is enough for an explanation
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _faults(path: _Path, anchors: Sequence[x509.Certificate], rule: PurposeRule, when: datetime) -> list[BundleError]:
    """Lists what is wrong with the certificates of a path: what lasts first, what time may heal last."""
    lasting: list[BundleError] = []
    passing: list[BundleError] = []
    for depth, certificate in enumerate(path):
        try:
            check_certificate(certificate, is_anchor=certificate in anchors)
        except BundleError as error:
            lasting.append(error)
        if depth and not _is_authority(certificate):
            lasting.append(_untrusted(f"{name_of(certificate)} is no authority, but issued {name_of(path[depth - 1])}"))
        fault = rule.fault_of_authority(certificate) if depth else rule.fault_of_signer(certificate)
        if fault:
            lasting.append(_wrong_purpose(certificate, fault))
        passing.extend(_fault_of_time(certificate, when))
    return lasting + passing


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _wrong_purpose(certificate: x509.Certificate, fault: str) -> BundleError:
    return BundleError(
        "bundle.certificate-purpose",
        "the bundle was signed with a certificate that is not meant for updates",
        details=f"{name_of(certificate)}: {fault}",
        resolution="sign with a certificate for codeSigning, or set the check-purpose that your PKI was made for",
    )


def _fault_of_time(certificate: x509.Certificate, when: datetime) -> Iterator[BundleError]:
    now = f"it is {_iso(when)} here"
    if when > certificate.not_valid_after_utc:
        yield BundleError(
            "bundle.certificate-expired",
            "a certificate of the bundle's signature has expired",
            details=f"{name_of(certificate)} was valid until {_iso(certificate.not_valid_after_utc)}; {now}",
            resolution="sign the bundle again with a valid certificate; if the date is wrong, set the clock",
        )
    elif when < certificate.not_valid_before_utc:
        yield BundleError(
            "bundle.certificate-not-yet-valid",
            "a certificate of the bundle's signature is not valid yet",
            details=f"{name_of(certificate)} is valid from {_iso(certificate.not_valid_before_utc)}; {now}",
            resolution="set the clock of this machine, then try again",
            retryable=True,
        )


def _why_no_path(path: _Path, anchors: Sequence[x509.Certificate]) -> str:
    top = path[-1]
    wanted = top.issuer.rfc4514_string()
    if top.issuer == top.subject:
        why = f"{name_of(top)} is signed by itself and is not in the keyring"
    elif any(each.subject == top.issuer for each in anchors):
        why = f"{name_of(top)} claims to come from {wanted}, but the trusted certificate of that name did not issue it"
    else:
        why = f"the issuer of {name_of(top)}, {wanted}, is neither in the bundle nor in the keyring"
    trusted = "; ".join(each.subject.rfc4514_string() for each in anchors[:4])
    return f"{why}; trusted: {trusted}"[:600]


def _untrusted(details: str) -> BundleError:
    return BundleError(
        "bundle.signature-untrusted",
        "the bundle was signed by somebody who is not trusted here",
        details=details,
        resolution="use a bundle from the maker of this device, or check the keyring",
    )


def name_of(certificate: x509.Certificate) -> str:
    """The subject of a certificate, for messages."""
    return certificate.subject.rfc4514_string()[:200]


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
