"""A private key in a PEM file."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.bundle.strength import HASHES
from agent.bundler.environment import PASSPHRASE, variable
from agent.bundler.faults import BuildError
from agent.bundler.signer import HashName

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_MAX_PEM = 1024 * 1024  # bytes
_MAX_PASSPHRASE = 4096  # bytes


@dataclass(frozen=True, slots=True)
class PemSigner:
    """See Signer.

    Raises:
        BuildError: ``build.key-mismatch``.
    """

    certificate: x509.Certificate
    key: PrivateKey

    def __post_init__(self) -> None:
        if self.certificate.public_key() != self.key.public_key():
            raise BuildError(
                "build.key-mismatch",
                "the private key does not belong to the certificate",
                details=self.certificate.subject.rfc4514_string(),
                resolution="name the certificate and the key of the same signer",
            )

    def sign(self, message: bytes, hash_name: HashName) -> bytes:
        """See Signer."""
        digest = HASHES[hash_name]
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, padding.PKCS1v15(), digest)
        return self.key.sign(message, ec.ECDSA(digest))


def load_private_key(path: str, passphrase_file: str = "") -> PrivateKey:
    """Reads a private key, and its passphrase where it needs one: from the file, the environment, or a person.

    Raises:
        BuildError: ``build.key-unreadable``, ``build.key-unsupported``.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_PEM)
        key = _decrypted(data, passphrase_file, path)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BuildError(
            "build.key-unreadable",
            "the private key cannot be read",
            details=f"{path}: {error}"[:300],
            resolution=f"name a PEM file; put the passphrase of an encrypted key into {PASSPHRASE} or a --passphrase-file",
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise BuildError(
            "build.key-unsupported",
            "this kind of key cannot sign bundles",
            details=f"{path}: {type(key).__name__}",
            resolution="use an RSA key or a key on P-256, P-384 or P-521",
        )
    return key


def _decrypted(data: bytes, passphrase_file: str, path: str) -> object:
    if b"ENCRYPTED" not in data:  # a passphrase that is not needed is an error to the library
        return load_pem_private_key(data, None)
    if passphrase_file:
        with open(passphrase_file, "rb") as file:
            secret = file.readline(_MAX_PASSPHRASE).rstrip(b"\r\n")
    else:
        secret = variable(PASSPHRASE).encode()
    if not secret and sys.stdin.isatty():
        secret = getpass.getpass(f"passphrase of {os.path.basename(path)}: ").encode()
    return load_pem_private_key(data, secret or None)
