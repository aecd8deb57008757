"""Certificates for tests, named after what is wrong with them.

``Pki().signer("expired")`` gives a signer whose only fault is that it has expired. Everything is made on first use and
kept, so that a test session pays for a key once. The good ones are ``good`` (issued by the root), ``good-intermediate``
(issued by an intermediate CA) and the kinds ``rsa2048``, ``rsa3072``, ``rsa4096``, ``p384``, ``p521``.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose
from cryptography.x509.oid import NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

KEY_KINDS: dict[str, Callable[[], Key]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "p224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "k256": lambda: ec.generate_private_key(ec.SECP256K1()),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa4096": lambda: rsa.generate_private_key(65537, 4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Spec:
    """What a certificate says; the defaults are those of a good signer issued by the root."""

    issuer: str = "root"
    key: str = "p256"
    ca: bool = False
    basic_constraints: bool = True
    path_length: int | None = None
    key_usage: bool = True
    digital_signature: bool = True
    content_commitment: bool = False
    key_cert_sign: bool = True
    purposes: Sequence[x509.ObjectIdentifier] | None = (Purpose.CODE_SIGNING,)
    from_days: int = -1
    to_days: int = 3650
    common_name: str = ""
    subject: x509.Name | None = None
    weak_digest: str = ""
    unknown_critical: bool = False
    crl_sign: bool = True
    more: Sequence[tuple[x509.ExtensionType, bool]] = ()


CA = Spec(ca=True, purposes=None)

_INSIDE_TEST = x509.NameConstraints(
    [x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test")]))], None
)
_POLICY = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), None)])

SPECS: dict[str, Spec] = {
    # authorities
    "root": replace(CA, issuer="root", from_days=-1000),
    "other-root": replace(CA, issuer="other-root"),
    "evil-root": replace(CA, issuer="evil-root", common_name="root"),
    "expired-root": replace(CA, issuer="expired-root", from_days=-400, to_days=-1),
    "rsa-root": replace(CA, issuer="rsa-root", key="rsa4096"),
    "intermediate": replace(CA, path_length=0),
    "email-intermediate": replace(CA, purposes=(Purpose.EMAIL_PROTECTION,)),
    "code-intermediate": replace(CA, purposes=(Purpose.CODE_SIGNING,)),
    "expired-intermediate": replace(CA, from_days=-100, to_days=-5),
    "sub-intermediate": replace(CA, issuer="intermediate"),
    "rsa1024-intermediate": replace(CA, key="rsa1024"),
    "not-a-ca": Spec(),
    "no-constraints-ca": replace(CA, basic_constraints=False),
    "no-crl-sign": replace(CA, crl_sign=False),
    "no-cert-sign": replace(CA, key_cert_sign=False),
    "weak-root": replace(CA, issuer="weak-root", key="p224"),
    "future-intermediate": replace(CA, from_days=5),
    "server-intermediate": replace(CA, purposes=(Purpose.SERVER_AUTH,)),
    "sha1-intermediate": replace(CA, weak_digest="sha1"),
    "named-intermediate": replace(CA, more=((_INSIDE_TEST, True),)),
    "policy-intermediate": replace(CA, more=((_POLICY, True),)),
    # good signers
    "good": Spec(),
    "good-2": Spec(),
    "good-intermediate": Spec(issuer="intermediate"),
    "good-code-intermediate": Spec(issuer="code-intermediate"),
    "good-rsa-root": Spec(issuer="rsa-root", key="rsa2048"),
    "rsa2048": Spec(key="rsa2048"),
    "rsa3072": Spec(key="rsa3072"),
    "rsa4096": Spec(key="rsa4096"),
    "p384": Spec(key="p384"),
    "p521": Spec(key="p521"),
    "email-and-code": Spec(purposes=(Purpose.EMAIL_PROTECTION, Purpose.CODE_SIGNING)),
    "no-key-usage": Spec(key_usage=False),
    "rsa2048-intermediate": Spec(issuer="intermediate", key="rsa2048"),
    "rsa4096-intermediate": Spec(issuer="intermediate", key="rsa4096"),
    "p384-intermediate": Spec(issuer="intermediate", key="p384"),
    # signers with one defect each
    "other": Spec(issuer="other-root"),
    "evil": Spec(issuer="evil-root", common_name="good"),
    "expired": Spec(from_days=-100, to_days=-2),
    "not-yet-valid": Spec(from_days=5),
    "email": Spec(purposes=(Purpose.EMAIL_PROTECTION,)),
    "server": Spec(purposes=(Purpose.SERVER_AUTH,)),
    "timestamp": Spec(purposes=(Purpose.TIME_STAMPING,)),
    "any-purpose": Spec(purposes=(Purpose.ANY_EXTENDED_KEY_USAGE,)),
    "no-purpose": Spec(purposes=None),
    "no-digital-signature": Spec(digital_signature=False),
    "rsa1024": Spec(key="rsa1024"),
    "p224": Spec(key="p224"),
    "ed25519": Spec(key="ed25519"),
    "sha1-certificate": Spec(weak_digest="sha1"),
    "unknown-critical": Spec(unknown_critical=True),
    "under-expired-root": Spec(issuer="expired-root"),
    "under-expired-intermediate": Spec(issuer="expired-intermediate"),
    "under-email-intermediate": Spec(issuer="email-intermediate"),
    "under-rsa1024-intermediate": Spec(issuer="rsa1024-intermediate"),
    "under-not-a-ca": Spec(issuer="not-a-ca"),
    "under-no-constraints": Spec(issuer="no-constraints-ca"),
    "under-too-deep": Spec(issuer="sub-intermediate"),
    "under-no-crl-sign": Spec(issuer="no-crl-sign"),
    "under-no-cert-sign": Spec(issuer="no-cert-sign"),
    "under-weak-root": Spec(issuer="weak-root"),
    "under-future-intermediate": Spec(issuer="future-intermediate"),
    "under-server-intermediate": Spec(issuer="server-intermediate"),
    "under-sha1-intermediate": Spec(issuer="sha1-intermediate"),
    "under-named-intermediate": Spec(issuer="named-intermediate"),
    "under-policy-intermediate": Spec(issuer="policy-intermediate"),
    "k256": Spec(key="k256"),
    "critical-name": Spec(more=((x509.SubjectAlternativeName([x509.DNSName("signer.example.org")]), True),)),
    "content-commitment": Spec(digital_signature=False, content_commitment=True, purposes=(Purpose.EMAIL_PROTECTION,)),
    "self-signed": Spec(issuer="self-signed"),
}


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key, and the certificates between it and its root."""

    name: str
    certificate: x509.Certificate
    key: Key
    intermediates: tuple[x509.Certificate, ...] = ()

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Writes ``NAME.pem`` and ``NAME.key`` and returns their paths."""
        directory.mkdir(parents=True, exist_ok=True)
        certificate, key = directory / f"{self.name}.pem", directory / f"{self.name}.key"
        certificate.write_bytes(pem(self.certificate))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, key


class Pki:
    """A root, and on demand everything that can be issued well or badly."""

    def __init__(self) -> None:
        self._made: dict[str, Identity] = {}
        self.now = dt.datetime.now(dt.UTC).replace(microsecond=0)

    def signer(self, name: str = "good") -> Identity:
        """The identity of that name in ``SPECS``."""
        if name not in self._made:
            self._made[name] = self._issue(name, SPECS[name])
        return self._made[name]

    @property
    def root(self) -> x509.Certificate:
        """The trusted root certificate."""
        return self.signer("root").certificate

    def keyring(self, directory: Path, *names: str) -> Path:
        """Writes a PEM file with the named certificates (the root when none is named)."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / ("-".join(names or ("keyring",)) + "-trusted.pem")
        path.write_bytes(b"".join(pem(self.signer(name).certificate) for name in names or ("root",)))
        return path

    def issue(self, name: str, spec: Spec) -> Identity:
        """Makes an identity that is not in the table and keeps it under ``name``."""
        self._made[name] = self._issue(name, spec)
        return self._made[name]

    def _issue(self, name: str, spec: Spec) -> Identity:
        key = KEY_KINDS[spec.key]()
        own = spec.subject or _subject(spec.common_name or name)
        issuer = None if spec.issuer == name else self.signer(spec.issuer)
        issuer_key = issuer.key if issuer else key
        builder = (
            x509.CertificateBuilder()
            .subject_name(own)
            .issuer_name(issuer.certificate.subject if issuer else own)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + dt.timedelta(days=spec.from_days))
            .not_valid_after(self.now + dt.timedelta(days=spec.to_days))
        )
        for extension, critical in _extensions(spec, key, issuer_key):
            builder = builder.add_extension(extension, critical)
        digest = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        certificate = builder.sign(issuer_key, digest)
        if spec.weak_digest and issuer:
            certificate = _signed_by_openssl(certificate, key, issuer, spec.weak_digest)
        above = () if issuer is None or _is_root(issuer) else (issuer.certificate, *issuer.intermediates)
        return Identity(name, certificate, key, above)


@cache
def shared_pki() -> Pki:
    """One set of certificates for the whole test session."""
    return Pki()


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _signed_by_openssl(model: x509.Certificate, key: Key, issuer: Identity, digest: str) -> x509.Certificate:
    """A certificate like ``model``, under a digest that ``cryptography`` does not sign with any more."""
    request = x509.CertificateSigningRequestBuilder().subject_name(model.subject)
    for extension in model.extensions:
        request = request.add_extension(extension.value, extension.critical)
    with tempfile.TemporaryDirectory() as scratch:
        issuer_pem, issuer_key = issuer.write(Path(scratch))
        wanted = Path(scratch) / "wanted.csr"
        wanted.write_bytes(request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        argv = ["openssl", "x509", "-req", "-in", str(wanted), "-CA", str(issuer_pem), "-CAkey", str(issuer_key)]
        argv += [f"-{digest}", "-copy_extensions", "copyall", "-days", "30", "-set_serial", "1234567890"]
        done = subprocess.run(argv, capture_output=True, check=True)
    return x509.load_pem_x509_certificate(done.stdout)


def _is_root(identity: Identity) -> bool:
    return identity.certificate.subject == identity.certificate.issuer


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _extensions(spec: Spec, key: Key, issuer_key: Key) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    ]
    if spec.basic_constraints:
        found.append((x509.BasicConstraints(spec.ca, spec.path_length if spec.ca else None), True))
    if spec.key_usage:
        found.append((_key_usage(spec), True))
    if spec.purposes:
        found.append((x509.ExtendedKeyUsage(list(spec.purposes)), False))
    if spec.unknown_critical:
        found.append((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True))
    return [*found, *spec.more]


def _key_usage(spec: Spec) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=spec.digital_signature and not spec.ca,
        content_commitment=spec.content_commitment,
        key_encipherment=not spec.digital_signature and not spec.content_commitment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=spec.ca and spec.key_cert_sign,
        crl_sign=spec.ca and spec.crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
