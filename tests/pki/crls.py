"""Lists of revoked certificates for tests, named after what they say or what is wrong with them.

``crl(pki, "root")`` is a good one of the root that revokes nothing; ``root-revokes-good`` revokes the signer ``good``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from asn1crypto import crl as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pki.build import Identity, Pki


@dataclass(frozen=True)
class CrlSpec:
    """What a CRL says; the defaults are those of a good one that revokes nothing."""

    issuer: str = "root"
    revokes: Sequence[str] = ()
    from_days: float = -1
    to_days: float = 30
    signed_by: str = ""
    weak_digest: bool = False
    key_identifier: bool = True
    next_update: bool = True
    more: Sequence[tuple[x509.ExtensionType, bool]] = ()
    entry: x509.ExtensionType | None = None


def _only(**what: bool) -> x509.IssuingDistributionPoint:
    flags = {"only_contains_user_certs": False, "only_contains_ca_certs": False, "indirect_crl": False, **what}
    return x509.IssuingDistributionPoint(
        full_name=None if what else [x509.UniformResourceIdentifier("http://example.org/part.crl")],
        relative_name=None, only_some_reasons=None, only_contains_attribute_certs=False, **flags,
    )  # fmt: skip


_UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")

CRLS: dict[str, CrlSpec] = {
    "root": CrlSpec(),
    "intermediate": CrlSpec(issuer="intermediate"),
    "other-root": CrlSpec(issuer="other-root"),
    "evil-root": CrlSpec(issuer="evil-root"),
    "no-crl-sign": CrlSpec(issuer="no-crl-sign"),
    "root-revokes-good": CrlSpec(revokes=("good",)),
    "root-revokes-other-serials": CrlSpec(revokes=("good-2", "rsa2048")),
    "root-revokes-intermediate": CrlSpec(revokes=("intermediate",)),
    "root-revokes-root": CrlSpec(revokes=("root",)),
    "intermediate-revokes": CrlSpec(issuer="intermediate", revokes=("good-intermediate",)),
    "root-with-reason": CrlSpec(revokes=("good",), entry=x509.CRLReason(x509.ReasonFlags.key_compromise)),
    "root-released-later": CrlSpec(from_days=-0.5),
    "root-revokes-good-later": CrlSpec(from_days=-0.5, revokes=("good",)),
    "root-expired": CrlSpec(from_days=-60, to_days=-1),
    "root-expired-revokes-good": CrlSpec(from_days=-60, to_days=-1, revokes=("good",)),
    "intermediate-expired": CrlSpec(issuer="intermediate", from_days=-60, to_days=-1),
    "root-future": CrlSpec(from_days=5),
    "root-forged": CrlSpec(signed_by="good-2"),
    "root-forged-later": CrlSpec(signed_by="good-2", from_days=-0.5),
    "root-without-key-identifier": CrlSpec(key_identifier=False),
    "root-without-next-update": CrlSpec(next_update=False),
    "root-sha224": CrlSpec(weak_digest=True),
    "root-unknown-critical": CrlSpec(more=((_UNKNOWN, True),)),
    "root-unknown": CrlSpec(more=((_UNKNOWN, False),)),
    "root-delta": CrlSpec(more=((x509.DeltaCRLIndicator(1), True),)),
    "root-indirect": CrlSpec(more=((_only(indirect_crl=True), True),)),
    "root-only-users": CrlSpec(more=((_only(only_contains_user_certs=True), True),)),
    "root-only-authorities": CrlSpec(more=((_only(only_contains_ca_certs=True), True),)),
    "root-part": CrlSpec(more=((_only(), True),)),
}


def crl(pki: Pki, name: str) -> x509.CertificateRevocationList:
    """The CRL of that name in ``CRLS``."""
    return _made(pki, name)


def crl_pem(pki: Pki, *names: str) -> bytes:
    """The named CRLs in PEM."""
    return b"".join(_made(pki, name).public_bytes(serialization.Encoding.PEM) for name in names)


@cache
def _made(pki: Pki, name: str) -> x509.CertificateRevocationList:
    spec = CRLS[name]
    issuer = pki.signer(spec.issuer)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(pki.now + dt.timedelta(days=spec.from_days))
        .next_update(pki.now + dt.timedelta(days=spec.to_days))
        .add_extension(x509.CRLNumber(1), False)
    )
    if spec.key_identifier:
        key = issuer.key.public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key), False)
    for extension, critical in spec.more:
        builder = builder.add_extension(extension, critical)
    for each in spec.revokes:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(pki.signer(each).certificate.serial_number)
            .revocation_date(pki.now + dt.timedelta(days=-1))
        )
        builder = builder.add_revoked_certificate(
            (entry.add_extension(spec.entry, False) if spec.entry else entry).build()
        )
    made = builder.sign(
        pki.signer(spec.signed_by or spec.issuer).key, hashes.SHA224() if spec.weak_digest else hashes.SHA256()
    )
    return made if spec.next_update else _without_next_update(made, issuer)


def _without_next_update(made: x509.CertificateRevocationList, issuer: Identity) -> x509.CertificateRevocationList:
    """No builder leaves it out; RFC 5280 section 5.1.2.5 demands it, X.509 does not."""
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    parsed = asn1.CertificateList.load(made.public_bytes(serialization.Encoding.DER))
    del parsed["tbs_cert_list"]["next_update"]
    body = parsed["tbs_cert_list"].dump(force=True)
    parsed["signature"] = issuer.key.sign(body, ec.ECDSA(hashes.SHA256()))
    return x509.load_der_x509_crl(parsed.dump(force=True))
