"""The private key that encrypted bundles are opened with, from PEM files."""

from __future__ import annotations

import os
import stat

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.bundle.enveloped import RecipientKey
from agent.errors import ConfigError

_MAX_PEM = 64 * 1024  # bytes


def load_recipient_key(
    key: str | os.PathLike[str],
    certificate: str | os.PathLike[str] = "",
    *,
    passphrase: bytes | None = None,
    private: bool = True,
) -> RecipientKey:
    """Reads the key, and the certificate that belongs to it when one is named.

    Args:
        key: PEM file of an RSA key or a key on a curve.
        certificate: PEM file; with it only the entry for it is tried, instead of every entry of the kind of the key.
        passphrase: of an encrypted key.
        private: the file must be readable by its owner only.

    Raises:
        ConfigError: ``encryption.key-invalid``, ``encryption.key-readable``.
    """
    try:
        loaded = load_pem_private_key(_read(key, private=private), passphrase)
        found = x509.load_pem_x509_certificate(_read(certificate, private=False)) if certificate else None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _invalid(str(error)) from error
    if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise _invalid(f"{os.fspath(key)} holds a key of the kind {type(loaded).__name__}")
    if found is not None and found.public_key() != loaded.public_key():
        raise _invalid(f"{os.fspath(key)} does not belong to the certificate {os.fspath(certificate)}")
    return RecipientKey(loaded, found)


def _read(path: str | os.PathLike[str], *, private: bool) -> bytes:
    with open(path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if private and stat.S_IMODE(mode) & 0o077:
            raise ConfigError(
                "encryption.key-readable",
                "others than its owner may read the key for encrypted bundles",
                details=f"{os.fspath(path)} has mode {stat.S_IMODE(mode):04o}",
                resolution=f"chmod 0600 {os.fspath(path)}, and make a new key if it may have been copied",
            )
        return file.read(_MAX_PEM)


def _invalid(details: str) -> ConfigError:
    return ConfigError(
        "encryption.key-invalid",
        "the key for encrypted bundles cannot be used",
        details=details[:300],
        resolution="name the PEM files of an RSA key, or a key on P-256, P-384 or P-521, and of its certificate",
    )
