"""What makes a signature: a private key that may be anywhere, under a certificate.

``key_pem.py``, ``key_pkcs11.py`` and ``key_command.py`` each know one place where a key can be.
"""

from __future__ import annotations

from typing import Literal, Protocol

from cryptography import x509

HashName = Literal["sha256", "sha384", "sha512"]
DIGESTS: tuple[HashName, ...] = ("sha256", "sha384", "sha512")


class Signer(Protocol):
    """A private key and its certificate."""

    @property
    def certificate(self) -> x509.Certificate:
        """Names the signer; its public key decides between RSA (PKCS #1 v1.5) and ECDSA."""
        ...

    def sign(self, message: bytes, hash_name: HashName) -> bytes:
        """Returns the signature over ``message``: of RSA PKCS #1 v1.5, or of ECDSA as the DER of RFC 3279 section 2.2.3.

        Args:
            message: some hundred bytes, not yet hashed.
            hash_name: the digest to hash them with.

        Raises:
            BuildError: the key cannot be used.
        """
        ...
