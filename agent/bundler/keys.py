"""Certificates and private keys, as named on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.bundle.purpose import PurposeRule
from agent.bundler.build import BuildError, SigningKey

_SOON = timedelta(days=30)  # RAUC warns in the same time before a certificate ends
_MAX_PEM = 1024 * 1024  # bytes

_T = TypeVar("_T")


def certificates(path: str) -> list[x509.Certificate]:
    """Reads a PEM file of certificates; raises BuildError ``build.key-unreadable``."""
    return _loaded(path, x509.load_pem_x509_certificates, "certificate")


def private_key(path: str) -> SigningKey:
    """Reads a PEM file with a private key; raises BuildError ``build.key-unreadable``, ``build.key-unsupported``."""
    secret = os.environ.get("OTA_BUNDLE_PASSPHRASE")

    def load(data: bytes) -> object:
        return load_pem_private_key(data, secret.encode() if secret else None)

    key = _loaded(path, load, "private key")
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise BuildError(
            "build.key-unsupported",
            "this kind of key cannot sign bundles",
            details=f"{path}: {type(key).__name__}",
            resolution="use an RSA key or a key on P-256, P-384 or P-521",
        )
    return key


def doubts(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    """Yields what devices will, or may, refuse about the signer."""
    fault = PurposeRule("codesign").fault_of_signer(certificate)
    if fault:
        yield f"devices that check for codesign will refuse this bundle: {fault}"
    if now > certificate.not_valid_after_utc:
        yield f"the certificate has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    elif now + _SOON > certificate.not_valid_after_utc:
        yield f"the certificate expires on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        yield f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"


def _loaded(path: str, load: Callable[[bytes], _T], what: str) -> _T:
    try:
        with open(path, "rb") as file:
            return load(file.read(_MAX_PEM))
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BuildError(
            "build.key-unreadable",
            f"the {what} cannot be read",
            details=f"{path}: {error}"[:300],
            resolution="name a PEM file; put the passphrase of an encrypted key into OTA_BUNDLE_PASSPHRASE",
        ) from error
