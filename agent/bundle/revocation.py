"""Was a certificate taken back? Judged by the CRLs of the keyring, as RAUC's ``check-crl`` does (RFC 5280 section 6.3).

Every certificate of the chain, the anchor included, needs a CRL of its issuer that is current and correctly signed.
Without it nobody knows, and the bundle is refused. A CRL that speaks only for a part of the certificates, for those of
another issuer, or only of changes is not understood: its critical extensions say so, and it counts as unusable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from agent.bundle.certificates import extension_of, is_self_signed, iso, name_of
from agent.bundle.strength import HASHES
from agent.errors import BundleError

_RENEW = "put a current CRL of that authority into the keyring"


def faults_of_revocation(
    chain: Sequence[x509.Certificate], crls: Sequence[x509.CertificateRevocationList], when: datetime
) -> Iterator[BundleError]:
    """Tells what the CRLs say against a chain.

    Args:
        chain: from the signer to the anchor.
        crls: those of the keyring.
        when: the time of verification.

    Yields:
        BundleError: ``bundle.certificate-revoked``, ``bundle.crl-missing``, ``bundle.crl-expired``,
            ``bundle.crl-not-yet-valid``, ``bundle.crl-invalid``.
    """
    for certificate, issuer in zip(chain, [*chain[1:], chain[-1]], strict=True):
        if issuer == certificate and not is_self_signed(certificate):
            yield _missing(certificate, "its issuer is not in the keyring, so a CRL of it could not be believed")
            continue
        crl = _best(issuer, crls, when)
        if crl is None:
            yield _missing(certificate, f"the keyring holds no CRL of {name_of(issuer)}")
            continue
        fault = _fault_of(crl, issuer, when)
        if fault is not None:
            yield fault
        elif (entry := crl.get_revoked_certificate_by_serial_number(certificate.serial_number)) is not None:
            yield _revoked(certificate, crl, entry)


def parse_crl_fully(crl: x509.CertificateRevocationList) -> x509.CertificateRevocationList:
    """Makes the library parse every part that is used here; it parses on access, and errors must not come later.

    Raises:
        ValueError: a part is malformed.
        UnsupportedAlgorithm: the signature is of an unknown kind.
    """
    _ = (crl.issuer.rfc4514_string(), crl.last_update_utc, crl.next_update_utc, list(crl.extensions))
    _ = (crl.signature_algorithm_oid, crl.signature_hash_algorithm)
    for entry in crl:
        _ = (entry.serial_number, entry.revocation_date_utc, list(entry.extensions))
    return crl


def _best(
    issuer: x509.Certificate, crls: Sequence[x509.CertificateRevocationList], when: datetime
) -> x509.CertificateRevocationList | None:
    """Of the CRLs that claim to come from the issuer the newest, the current ones first; as OpenSSL chooses."""
    found = [each for each in crls if each.issuer == issuer.subject and _key_fits(each, issuer)]
    return max(found, key=lambda each: (_is_current(each, when), each.last_update_utc), default=None)


def _key_fits(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Tells authorities of the same name apart, where both sides name the key (RFC 5280 section 5.2.1)."""
    wanted = extension_of(crl, x509.AuthorityKeyIdentifier)
    have = extension_of(issuer, x509.SubjectKeyIdentifier)
    return wanted is None or have is None or wanted.key_identifier in (None, have.digest)


def _is_current(crl: x509.CertificateRevocationList, when: datetime) -> bool:
    return crl.last_update_utc <= when and crl.next_update_utc is not None and when <= crl.next_update_utc


def _fault_of(crl: x509.CertificateRevocationList, issuer: x509.Certificate, when: datetime) -> BundleError | None:
    usage = extension_of(issuer, x509.KeyUsage)
    algorithm = crl.signature_hash_algorithm
    if usage is not None and not usage.crl_sign:
        return _invalid(crl, "the key usage of its issuer lacks cRLSign")
    if algorithm is None or algorithm.name not in HASHES:
        return _invalid(crl, f"it is signed with {algorithm.name if algorithm else 'an unknown digest'}")
    if not _is_signed_by(crl, issuer):
        return _invalid(crl, "it was not signed by the key of that authority")
    critical = [each.oid.dotted_string for each in _extensions(crl) if each.critical]
    if critical:
        return _invalid(crl, f"it has critical extensions that are not understood: {', '.join(critical[:4])}")
    if crl.next_update_utc is None:
        return _invalid(crl, "it does not say until when it counts (nextUpdate)")
    if when > crl.next_update_utc:
        return BundleError(
            "bundle.crl-expired",
            "a list of revoked certificates is out of date",
            details=f"the CRL of {_issuer(crl)} counted until {iso(crl.next_update_utc)}; it is {iso(when)} here",
            resolution=f"{_RENEW}; if the date is wrong, set the clock",
        )
    if when < crl.last_update_utc:
        return BundleError(
            "bundle.crl-not-yet-valid",
            "a list of revoked certificates does not count yet",
            details=f"the CRL of {_issuer(crl)} is of {iso(crl.last_update_utc)}; it is {iso(when)} here",
            resolution="set the clock of this machine, then try again",
            retryable=True,
        )
    return None


def _extensions(crl: x509.CertificateRevocationList) -> Iterator[x509.Extension[x509.ExtensionType]]:
    yield from crl.extensions
    for entry in crl:
        yield from entry.extensions


def _is_signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # other keys raise TypeError
    except (UnsupportedAlgorithm, TypeError, ValueError):
        return False


def _revoked(
    certificate: x509.Certificate, crl: x509.CertificateRevocationList, entry: x509.RevokedCertificate
) -> BundleError:
    reason = extension_of(entry, x509.CRLReason)
    return BundleError(
        "bundle.certificate-revoked",
        "a certificate of the bundle's signature was revoked",
        details=f"{name_of(certificate)} was revoked by {_issuer(crl)} on "
        f"{iso(entry.revocation_date_utc)}{f' ({reason.reason.value})' if reason else ''}",
        resolution="do not use this bundle; get one that is signed with another certificate",
    )


def _missing(certificate: x509.Certificate, why: str) -> BundleError:
    return BundleError(
        "bundle.crl-missing",
        "it is not known whether a certificate of the bundle's signature was revoked",
        details=f"{name_of(certificate)}: {why}",
        resolution=f"{_RENEW}, or set check-crl to false",
    )


def _invalid(crl: x509.CertificateRevocationList, why: str) -> BundleError:
    return BundleError(
        "bundle.crl-invalid",
        "a list of revoked certificates cannot be used",
        details=f"the CRL of {_issuer(crl)}: {why}",
        resolution="put a complete CRL, signed by the authority itself with SHA-256, into the keyring",
    )


def _issuer(crl: x509.CertificateRevocationList) -> str:
    return crl.issuer.rfc4514_string()[:200]
