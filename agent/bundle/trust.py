"""Whom we believe: the trust that a device places in its keyring, and the chain from a signer up to it.

A library builds the chain (``chain.py``), ``faults.py`` holds it against everything else. As in RAUC, a certificate in
the keyring that is not self-signed helps to build a chain but ends none, unless ``allow_partial_chain`` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from agent.bundle.certificates import is_self_signed, name_of
from agent.bundle.chain import ChainQuestion, ChainRefusedError
from agent.bundle.faults import Rules, faults_of, untrusted
from agent.bundle.issuers import issued_below
from agent.bundle.purpose import CheckPurpose, PurposeRule
from agent.bundle.refusal import explain_refusal
from agent.errors import BundleError, ConfigError

try:
    from agent.bundle.chain_x509 import find_chain
except ImportError:  # cryptography before 45
    from agent.bundle.chain_openssl import find_chain


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a signature must lead to; ``of`` makes one from the content of a keyring.

    Args:
        anchors: a chain must end in one of them; self-signed, unless ``allow_partial_chain``.
        check_purpose: what the signer must be good for, see ``purpose.py``.
        intermediates: further certificates for building chains.
        crls: the lists of revoked certificates in the keyring.
        check_crl: every certificate of the chain must be in the scope of a current CRL, and in none of them.
        allow_partial_chain: every certificate of the keyring is an anchor.
        allowed_signer_cns: common names that the signer may have; empty: any.

    Raises:
        ConfigError: ``trust.no-anchor``, ``trust.purpose-unknown``.
    """

    anchors: tuple[x509.Certificate, ...]
    check_purpose: CheckPurpose = "codesign"
    intermediates: tuple[x509.Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    check_crl: bool = False
    allow_partial_chain: bool = False
    allowed_signer_cns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.check_purpose not in ("codesign", "smimesign", "any"):
            raise ConfigError(
                "trust.purpose-unknown",
                "the purpose to check certificates for is unknown",
                details=f"found {self.check_purpose!r}",
                resolution="use codesign, smimesign or any",
            )
        if not self.anchors or not (self.allow_partial_chain or all(is_self_signed(each) for each in self.anchors)):
            raise ConfigError(
                "trust.no-anchor",
                "the keyring cannot be trusted: a chain must end in a self-signed certificate",
                details=f"{len(self.anchors)} certificates are named as anchors",
                resolution="put the root certificate of the signing PKI into the keyring, or set allow-partial-chain",
            )

    @classmethod
    def of(
        cls,
        certificates: Iterable[x509.Certificate],
        check_purpose: CheckPurpose = "codesign",
        *,
        crls: Iterable[x509.CertificateRevocationList] = (),
        check_crl: bool = False,
        allow_partial_chain: bool = False,
        allowed_signer_cns: Iterable[str] = (),
    ) -> TrustPolicy:
        """Sorts the certificates of a keyring into anchors and intermediates."""
        anchors: list[x509.Certificate] = []
        intermediates: list[x509.Certificate] = []
        for each in certificates:
            (anchors if allow_partial_chain or is_self_signed(each) else intermediates).append(each)
        return cls(
            anchors=tuple(anchors),
            check_purpose=check_purpose,
            intermediates=tuple(intermediates),
            crls=tuple(crls),
            check_crl=check_crl,
            allow_partial_chain=allow_partial_chain,
            allowed_signer_cns=tuple(allowed_signer_cns),
        )

    def warnings(self) -> tuple[str, ...]:
        """What does not stop a verification, but was hardly meant so."""
        if self.crls and not self.check_crl:
            return (f"the keyring holds {len(self.crls)} CRLs that nobody looks at; set check-crl to true",)
        return ()


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
        BundleError: ``bundle.signature-untrusted``, ``bundle.signer-not-allowed``, ``bundle.certificate-expired``,
            ``bundle.certificate-not-yet-valid``, ``bundle.certificate-purpose``, ``bundle.certificate-restricted``,
            ``bundle.certificate-revoked``, ``bundle.crl-missing``, ``bundle.crl-expired``,
            ``bundle.crl-not-yet-valid``, ``bundle.crl-invalid``, ``bundle.signature-weak``,
            ``bundle.signature-unsupported``.
        ConfigError: ``trust.library-missing``.
    """
    if when.tzinfo is None:
        raise ValueError("the time of verification needs a time zone")
    rules = Rules(trust.anchors, PurposeRule(trust.check_purpose), when, trust.crls if trust.check_crl else None)
    others = tuple(others)
    pool = (*others, *trust.intermediates)
    try:
        helpful = (*issued_below(others, (*trust.anchors, *trust.intermediates)), *trust.intermediates)
        chain = find_chain(ChainQuestion(signer, helpful, trust.anchors, when))
    except ChainRefusedError as error:
        raise explain_refusal(signer, pool, rules, str(error)) from error
    if chain[0] != signer or chain[-1] not in trust.anchors:
        raise untrusted("the chain that was found does not lead from the signer to the keyring")
    if faults := faults_of(chain, rules):
        raise faults[0]
    if trust.allowed_signer_cns:
        _check_common_name(signer, trust.allowed_signer_cns)
    return chain


def _check_common_name(signer: x509.Certificate, allowed: tuple[str, ...]) -> None:
    """As RAUC's ``allowed-signer-cns``; but a second common name, or a NUL in one, is a disguise and is refused."""
    found = [str(each.value) for each in signer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(found) != 1 or "\0" in found[0] or found[0] not in allowed:
        names = ", ".join(repr(each[:100]) for each in found[:4]) or "none"
        wanted = ", ".join(repr(each) for each in allowed[:8])
        raise BundleError(
            "bundle.signer-not-allowed",
            "the signer of the bundle is not among those that this device accepts",
            details=f"the common name of {name_of(signer)} is {names}; accepted: {wanted}"[:600],
            resolution="sign with an accepted certificate, or extend allowed-signer-cns",
        )
