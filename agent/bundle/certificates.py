"""Small questions about a certificate that several judges ask."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

_E = TypeVar("_E", bound=x509.ExtensionType)


class Extended(Protocol):
    """What can carry extensions: a certificate, a CRL, an entry of a CRL."""

    @property
    def extensions(self) -> x509.Extensions:
        """All of them."""
        ...


def extension_of(where: Extended, kind: type[_E]) -> _E | None:
    """The value of an extension; None when there is no such extension."""
    try:
        return where.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Says whether the certificate was issued by its own key."""
    return issued_by(certificate, certificate)


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Says whether the name of the issuer fits and its key has signed the certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def name_of(certificate: x509.Certificate) -> str:
    """The subject of a certificate, for messages."""
    return certificate.subject.rfc4514_string()[:200]


def iso(moment: datetime) -> str:
    """A time for messages, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
