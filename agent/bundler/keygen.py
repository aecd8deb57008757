"""A signing PKI for development: made in a second, protected by nothing but the permissions of its files.

It shows the structure that a real one needs (a root that devices trust, a CA under it, a signer for code signing), so
that moving to keys in an HSM changes files and not the procedure.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.bundler.faults import BuildError
from agent.bundler.key_pem import PrivateKey

DEFAULT_DAYS = 3650
MAX_DAYS = 365 * 100
_FILES = ("root.pem", "ca.pem", "ca.key", "signer.pem", "signer.key")
_RECIPIENT = ("recipient.pem", "recipient.key")

Algorithm = Literal["p256", "p384", "rsa3072", "rsa4096"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
_GENERATORS: Mapping[Algorithm, Callable[[], PrivateKey]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa4096": lambda: rsa.generate_private_key(65537, 4096),
}


@dataclass(frozen=True, slots=True)
class DevelopmentPki:
    """Where the files are. The key of the root is not kept: nothing else is ever issued by it.

    Args:
        root: the keyring of the devices.
        ca: certificate of the authority that issues signers.
        ca_key: its key.
        signer: certificate of the signer.
        signer_key: its key.
        recipient: certificate that bundles can be encrypted to, when it was asked for.
        recipient_key: its key, which devices need.
    """

    root: Path
    ca: Path
    ca_key: Path
    signer: Path
    signer_key: Path
    recipient: Path | None = None
    recipient_key: Path | None = None


def make_pki(
    directory: str | os.PathLike[str],
    *,
    days: int = DEFAULT_DAYS,
    name: str = "development",
    algorithm: Algorithm = "p256",
    encryption: bool = False,
    now: dt.datetime,
) -> DevelopmentPki:
    """Writes a root, a CA and a signer, and on request a recipient of encrypted bundles.

    Args:
        directory: made when missing, with mode 0700; none of the files may exist in it.
        days: how long all certificates are valid, from a day ago on.
        name: part of the subjects, to tell several such PKIs apart.
        algorithm: of all keys.
        encryption: make the recipient too.
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
    files = (*_FILES, *(_RECIPIENT if encryption else ()))
    for each in files:
        if (folder / each).exists():
            raise _exists(folder / each)
    start = now.astimezone(dt.UTC).replace(microsecond=0) - dt.timedelta(days=1)
    valid = (start, start + dt.timedelta(days=days + 1))
    generate = _GENERATORS[algorithm]
    root_key, ca_key, signer_key = (generate() for _ in range(3))
    root_name, ca_name, signer_name = (_subject(f"{name} {role}") for role in ("root", "CA", "signer"))
    root = _issue(_authority(root_name, root_key, 1), root_name, root_key, valid)
    ca = _issue(_authority(ca_name, ca_key, 0), root_name, root_key, valid)
    signer = _issue(_signer(signer_name, signer_key), ca_name, ca_key, valid)
    _write(folder / "root.pem", _pem(root), 0o644)
    _write(folder / "ca.pem", _pem(ca), 0o644)
    _write(folder / "ca.key", _key_pem(ca_key), 0o600)
    _write(folder / "signer.pem", _pem(signer), 0o644)
    _write(folder / "signer.key", _key_pem(signer_key), 0o600)
    if encryption:
        _write_recipient(folder, _subject(f"{name} recipient"), generate(), valid)
    return DevelopmentPki(*(folder / each for each in files))


def _write_recipient(folder: Path, name: x509.Name, key: PrivateKey, valid: tuple[dt.datetime, dt.datetime]) -> None:
    """Signed by itself: whoever encrypts trusts the file, not an authority."""
    recipient = _issue(_recipient(name, key), name, key, valid)
    _write(folder / "recipient.pem", _pem(recipient), 0o644)
    _write(folder / "recipient.key", _key_pem(key), 0o600)


def _authority(name: x509.Name, key: PrivateKey, path_length: int) -> x509.CertificateBuilder:
    builder = _certificate(name, key).add_extension(
        x509.BasicConstraints(ca=True, path_length=path_length), critical=True
    )
    return builder.add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)


def _signer(name: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
    builder = _certificate(name, key).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
    return builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)


def _recipient(name: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
    builder = _certificate(name, key).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    is_rsa = isinstance(key, rsa.RSAPrivateKey)  # key transport with RSA, key agreement with curves (RFC 5652 6.2)
    return builder.add_extension(_key_usage(key_encipherment=is_rsa, key_agreement=not is_rsa), critical=True)


def _certificate(name: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(name).public_key(key.public_key())
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _issue(
    builder: x509.CertificateBuilder,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    valid: tuple[dt.datetime, dt.datetime],
) -> x509.Certificate:
    builder = builder.issuer_name(issuer).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(valid[0]).not_valid_after(valid[1])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return builder.add_extension(authority, critical=False).sign(issuer_key, hashes.SHA256())


def _key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_agreement: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
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


def _key_pem(key: PrivateKey) -> bytes:
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
