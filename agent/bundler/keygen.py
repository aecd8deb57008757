"""A signing PKI for development: made in a second, protected by nothing but the permissions of its files.

It shows the structure that a real one needs (a root that devices trust, a CA under it, a signer for code signing), so
that moving to keys in an HSM changes files and not the procedure.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.bundler.faults import BuildError

DEFAULT_DAYS = 3650
MAX_DAYS = 365 * 100
_FILES = ("root.pem", "ca.pem", "ca.key", "signer.pem", "signer.key")


@dataclass(frozen=True, slots=True)
class DevelopmentPki:
    """Where the files are. The key of the root is not kept: nothing else is ever issued by it."""

    root: Path
    ca: Path
    ca_key: Path
    signer: Path
    signer_key: Path


def make_pki(
    directory: str | os.PathLike[str], *, days: int = DEFAULT_DAYS, name: str = "development", now: dt.datetime
) -> DevelopmentPki:
    """Writes a root, a CA and a signer with keys on P-256.

    Args:
        directory: made when missing, with mode 0700; none of the files may exist in it.
        days: how long all certificates are valid, from a day ago on.
        name: part of the subjects, to tell several such PKIs apart.
        now: the current time, with a time zone.

    Raises:
        BuildError: ``keygen.exists``, ``keygen.days-invalid``.
    """
    if not 1 <= days <= MAX_DAYS:
        raise BuildError(
            "keygen.days-invalid", f"the certificates can be valid for 1 to {MAX_DAYS} days", details=f"found {days}"
        )
    folder = Path(directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in _FILES:
        if (folder / each).exists():
            raise _exists(folder / each)
    start = now.astimezone(dt.UTC).replace(microsecond=0) - dt.timedelta(days=1)
    valid = (start, start + dt.timedelta(days=days + 1))
    root_key, ca_key, signer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root_name, ca_name, signer_name = (_subject(f"{name} {role}") for role in ("root", "CA", "signer"))
    root = _issue(root_name, root_key, root_name, root_key, valid, path_length=1)
    ca = _issue(ca_name, ca_key, root_name, root_key, valid, path_length=0)
    signer = _issue(signer_name, signer_key, ca_name, ca_key, valid, path_length=None)
    _write(folder / "root.pem", _pem(root), 0o644)
    _write(folder / "ca.pem", _pem(ca), 0o644)
    _write(folder / "ca.key", _key_pem(ca_key), 0o600)
    _write(folder / "signer.pem", _pem(signer), 0o644)
    _write(folder / "signer.key", _key_pem(signer_key), 0o600)
    return DevelopmentPki(*(folder / each for each in _FILES))


def _issue(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    valid: tuple[dt.datetime, dt.datetime],
    *,
    path_length: int | None,
) -> x509.Certificate:
    """Issues a certificate: an authority when ``path_length`` is given, else a signer."""
    is_ca = path_length is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
        .add_extension(_key_usage(is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_ca:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "FOR DEVELOPMENT ONLY"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise _exists(path) from error
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)


def _exists(path: Path) -> BuildError:
    return BuildError(
        "keygen.exists",
        "there are keys already, and they are not overwritten",
        details=str(path),
        resolution="choose another directory, or remove the old keys yourself",
    )
