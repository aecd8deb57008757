"""Whom we believe: the keyring of the device, and the chain from a signer up to it.

Chains are built and judged by ``cryptography.x509.verification``; this file only adds what the certificates must be
good for, and that no key in the chain is weak. As in RAUC, a certificate in the keyring that is not self-signed helps
to build a chain but ends none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from agent.bundle.purpose import CheckPurpose, PurposeRule
from agent.bundle.refusal import explain_refusal
from agent.bundle.strength import check_certificate, parse_fully
from agent.errors import BundleError, ConfigError

MAX_DEPTH = 8  # authorities between a signer and its root
MAX_KEYRING = 1024 * 1024  # bytes; the keyring is ours, but a wrong path must not fill the memory


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a signature must lead to.

    Args:
        anchors: self-signed certificates; a chain must end in one of them.
        check_purpose: what the signer must be good for, see ``purpose.py``.
        intermediates: further certificates for building chains.

    Raises:
        ConfigError: ``trust.no-anchor``, ``trust.purpose-unknown``.
    """

    anchors: tuple[x509.Certificate, ...]
    check_purpose: CheckPurpose = "codesign"
    intermediates: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        if self.check_purpose not in ("codesign", "smimesign", "any"):
            raise ConfigError(
                "trust.purpose-unknown",
                "the purpose to check certificates for is unknown",
                details=f"found {self.check_purpose!r}",
                resolution="use codesign, smimesign or any",
            )
        if not self.anchors or not all(is_self_signed(each) for each in self.anchors):
            raise ConfigError(
                "trust.no-anchor",
                "the keyring cannot be trusted: a chain must end in a self-signed certificate",
                details=f"{len(self.anchors)} certificates are named as anchors",
                resolution="put the root certificate of the signing PKI into the keyring",
            )

    @classmethod
    def of(cls, certificates: Iterable[x509.Certificate], check_purpose: CheckPurpose = "codesign") -> TrustPolicy:
        """Sorts the certificates of a keyring into anchors and intermediates."""
        anchors: list[x509.Certificate] = []
        intermediates: list[x509.Certificate] = []
        for each in certificates:
            (anchors if is_self_signed(each) else intermediates).append(each)
        return cls(tuple(anchors), check_purpose, tuple(intermediates))


def load_keyring(path: str | os.PathLike[str], check_purpose: CheckPurpose = "codesign") -> TrustPolicy:
    """Reads the PEM file of trusted certificates.

    Raises:
        ConfigError: ``trust.keyring-missing``, ``trust.keyring-invalid``, ``trust.no-anchor``.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_KEYRING + 1)
    except OSError as error:
        raise ConfigError(
            "trust.keyring-missing",
            "the keyring cannot be read",
            details=str(error),
            resolution="name the PEM file that holds the trusted root certificate",
        ) from error
    try:
        if len(data) > MAX_KEYRING:
            raise ValueError(f"it has more than {MAX_KEYRING} bytes")
        certificates = [parse_fully(each) for each in x509.load_pem_x509_certificates(data)]
    except (ValueError, BundleError) as error:
        raise ConfigError(
            "trust.keyring-invalid",
            "the keyring is no PEM file of certificates",
            details=f"{os.fspath(path)}: {error}"[:300],
            resolution="put the trusted root certificate into it, in PEM",
        ) from error
    return TrustPolicy.of(certificates, check_purpose)


def check_chain(
    trust: TrustPolicy, signer: x509.Certificate, others: Iterable[x509.Certificate], when: datetime
) -> tuple[x509.Certificate, ...]:
    """Checks that ``signer`` may sign updates; returns the chain from it to an anchor.

    Args:
        trust: whom to believe.
        signer: the certificate of the signer.
        others: certificates that came with it; they help, but prove nothing.
        when: the time at which all of them must be valid; it needs a time zone.

    Raises:
        BundleError: ``bundle.signature-untrusted``, ``bundle.certificate-expired``,
            ``bundle.certificate-not-yet-valid``, ``bundle.certificate-purpose``, ``bundle.signature-weak``,
            ``bundle.signature-unsupported``.
    """
    if when.tzinfo is None:
        raise ValueError("the time of verification needs a time zone")
    rule = PurposeRule(trust.check_purpose)
    pool = (*others, *trust.intermediates)
    verifier = (
        PolicyBuilder()
        .store(Store(list(trust.anchors)))
        .time(when.astimezone(UTC).replace(tzinfo=None))
        .max_chain_depth(MAX_DEPTH)
        .extension_policies(ca_policy=_authority_policy(rule), ee_policy=_signer_policy(rule))
        .build_client_verifier()
    )
    try:
        chain = tuple(verifier.verify(signer, list(pool)).chain)
    except VerificationError as error:
        raise explain_refusal(signer, pool, trust.anchors, rule, when, str(error)) from error
    for certificate in chain:
        check_certificate(certificate, is_anchor=certificate in trust.anchors)
    return chain


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Says whether the certificate was issued by its own key."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _signer_policy(rule: PurposeRule) -> ExtensionPolicy:
    def judge(_policy: Policy, certificate: x509.Certificate, _found: x509.ExtendedKeyUsage | None) -> None:
        _raise_if(rule.fault_of_signer(certificate))

    return ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, judge)


def _authority_policy(rule: PurposeRule) -> ExtensionPolicy:
    def judge(_policy: Policy, certificate: x509.Certificate, _found: x509.ExtendedKeyUsage | None) -> None:
        _raise_if(rule.fault_of_authority(certificate))

    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, judge)
    )


def _raise_if(fault: str) -> None:
    if fault:
        raise ValueError(fault)  # the library turns it into a VerificationError
