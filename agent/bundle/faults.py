"""What is wrong with a chain of certificates, whoever built it: each obligation beyond those of the library.

1.  Keys and signatures are strong enough.                                                     ``strength.py``
2.  Every certificate above the signer is an authority, and its path length is kept.
3.  Each is good for the purpose that is checked.                                              ``purpose.py``
4.  None carries a restriction that nobody here judges: name constraints, unknown critical extensions.
5.  With ``check_crl``, none was revoked.                                                      ``revocation.py``
6.  All are valid at the given time.

The libraries check some of this too, each in its own way and not in every version; here it is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from agent.bundle.certificates import extension_of, iso, name_of
from agent.bundle.chain import MAX_DEPTH
from agent.bundle.purpose import PurposeRule
from agent.bundle.revocation import faults_of_revocation
from agent.bundle.strength import check_certificate
from agent.errors import BundleError

# Judged here or by both libraries. The alternative names and key identifiers restrict nothing.
_UNDERSTOOD = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.IssuerAlternativeName,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a chain is held against.

    Args:
        anchors: the trusted certificates.
        purpose: what the certificates must be good for.
        when: the time of verification.
        crls: judge by these CRLs; None: do not ask whether something was revoked.
    """

    anchors: Sequence[x509.Certificate]
    purpose: PurposeRule
    when: datetime
    crls: Sequence[x509.CertificateRevocationList] | None = None


def faults_of(chain: Sequence[x509.Certificate], rules: Rules) -> list[BundleError]:
    """Lists what is wrong with a chain from a signer to an anchor: what lasts first, what time may heal last."""
    lasting: list[BundleError] = []
    passing: list[BundleError] = []
    for depth, certificate in enumerate(chain):
        try:
            check_certificate(certificate, is_anchor=certificate in rules.anchors)
        except BundleError as error:
            lasting.append(error)
        if depth:
            lasting.extend(_fault_of_authority(chain, depth))
        fault = rules.purpose.fault_of_authority(certificate) if depth else rules.purpose.fault_of_signer(certificate)
        if fault:
            lasting.append(_wrong_purpose(certificate, fault))
        lasting.extend(_fault_of_extensions(certificate))
        passing.extend(_fault_of_time(certificate, rules.when))
    if len(chain) > MAX_DEPTH + 2:
        lasting.append(untrusted(f"there are {len(chain) - 2} authorities in between, more than {MAX_DEPTH}"))
    if rules.crls is not None:
        for each in faults_of_revocation(chain, rules.crls, rules.when):
            (lasting if each.code == "bundle.certificate-revoked" else passing).append(each)
    return lasting + passing


def untrusted(details: str) -> BundleError:
    """The refusal of a signer that nothing trusted vouches for."""
    return BundleError(
        "bundle.signature-untrusted",
        "the bundle was signed by somebody who is not trusted here",
        details=details,
        resolution="use a bundle from the maker of this device, or check the keyring",
    )


def _fault_of_authority(chain: Sequence[x509.Certificate], depth: int) -> Iterator[BundleError]:
    certificate, below = chain[depth], chain[1:depth]
    constraints = extension_of(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        yield untrusted(f"{name_of(certificate)} is no authority, but issued {name_of(chain[depth - 1])}")
    elif constraints.path_length is not None:
        # RFC 5280 section 4.2.1.9: certificates that an authority issued for itself do not count.
        between = sum(1 for each in below if each.subject != each.issuer)
        if between > constraints.path_length:
            yield untrusted(
                f"{name_of(certificate)} allows {constraints.path_length} authorities below it, and there are {between}"
            )


def _fault_of_extensions(certificate: x509.Certificate) -> Iterator[BundleError]:
    for each in certificate.extensions:
        if isinstance(each.value, x509.NameConstraints) or (each.critical and not isinstance(each.value, _UNDERSTOOD)):
            yield BundleError(
                "bundle.certificate-restricted",
                "a certificate of the signature has a restriction that this agent cannot judge",
                details=f"{name_of(certificate)} has {'the critical' if each.critical else 'the'} extension "
                f"{getattr(each.oid, '_name', '')} ({each.oid.dotted_string})",
                resolution="sign with a certificate without it",
            )


def _wrong_purpose(certificate: x509.Certificate, fault: str) -> BundleError:
    return BundleError(
        "bundle.certificate-purpose",
        "the bundle was signed with a certificate that is not meant for updates",
        details=f"{name_of(certificate)}: {fault}",
        resolution="sign with a certificate for codeSigning, or set the check-purpose that your PKI was made for",
    )


def _fault_of_time(certificate: x509.Certificate, when: datetime) -> Iterator[BundleError]:
    now = f"it is {iso(when)} here"
    if when > certificate.not_valid_after_utc:
        yield BundleError(
            "bundle.certificate-expired",
            "a certificate of the bundle's signature has expired",
            details=f"{name_of(certificate)} was valid until {iso(certificate.not_valid_after_utc)}; {now}",
            resolution="sign the bundle again with a valid certificate; if the date is wrong, set the clock",
        )
    elif when < certificate.not_valid_before_utc:
        yield BundleError(
            "bundle.certificate-not-yet-valid",
            "a certificate of the bundle's signature is not valid yet",
            details=f"{name_of(certificate)} is valid from {iso(certificate.not_valid_before_utc)}; {now}",
            resolution="set the clock of this machine, then try again",
            retryable=True,
        )
