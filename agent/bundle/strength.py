"""Which keys and digests are strong enough to sign an update, for the signature and for every certificate above it."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from agent.errors import BundleError

MIN_RSA_BITS = 2048  # NIST SP 800-131A
MAX_RSA_BITS = 16384  # a verification with a larger modulus only burns time
CURVES = ("secp256r1", "secp384r1", "secp521r1")

HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_HASH_NAMES = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_WEAK = {
    "1.2.840.113549.2.5": "MD5",
    "1.3.14.3.2.26": "SHA-1",
    "2.16.840.1.101.3.4.2.4": "SHA-224",
    "1.2.840.113549.1.1.4": "RSA with MD5",
    "1.2.840.113549.1.1.5": "RSA with SHA-1",
    "1.2.840.113549.1.1.14": "RSA with SHA-224",
}


def named_hash(oid: str) -> str:
    """Returns the name of an accepted digest algorithm.

    Raises:
        BundleError: ``bundle.signature-weak`` or ``bundle.signature-unsupported``.
    """
    if oid in _WEAK:
        raise weak(_WEAK[oid], "SHA-256, SHA-384 or SHA-512")
    if oid not in _HASH_NAMES:
        raise unsupported(f"digest algorithm {oid}")
    return _HASH_NAMES[oid]


def check_key(key: object, whose: str) -> None:
    """Refuses keys that are too weak, or of a kind that is not supported.

    Args:
        key: a public key of ``cryptography``.
        whose: names it in the error.

    Raises:
        BundleError: ``bundle.signature-weak`` or ``bundle.signature-unsupported``.
    """
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise weak(f"RSA of {key.key_size} bits in {whose}", f"RSA of at least {MIN_RSA_BITS} bits")
        if key.key_size > MAX_RSA_BITS:
            raise unsupported(f"RSA of {key.key_size} bits in {whose}")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.key_size < 256:
            raise weak(f"the curve {key.curve.name} in {whose}", "P-256, P-384 or P-521")
        if key.curve.name not in CURVES:
            raise unsupported(f"the curve {key.curve.name} in {whose}")
    else:
        raise unsupported(f"a key of the kind {type(key).__name__} in {whose}")


def check_certificate(certificate: x509.Certificate, *, is_anchor: bool) -> None:
    """Refuses a certificate with a weak key or under a weak signature.

    Args:
        certificate: any certificate of a chain.
        is_anchor: it is trusted because it is in the keyring, not for the signature on itself.

    Raises:
        BundleError: ``bundle.signature-weak`` or ``bundle.signature-unsupported``.
    """
    whose = f"the certificate of {certificate.subject.rfc4514_string()[:200]}"
    check_key(certificate.public_key(), whose)
    algorithm = certificate.signature_hash_algorithm
    if is_anchor or (algorithm is not None and algorithm.name in HASHES):
        return
    if algorithm is not None and algorithm.digest_size < 32:
        raise weak(f"{algorithm.name} under {whose}", "SHA-256, SHA-384 or SHA-512")
    raise unsupported(f"the signature under {whose}")


def parse_fully(certificate: x509.Certificate) -> x509.Certificate:
    """Makes the library parse every part that is used here; it parses on access, and errors must not come later.

    Raises:
        ValueError: a part is malformed.
        BundleError: ``bundle.signature-unsupported``.
    """
    try:
        certificate.public_key()
        _ = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm as error:
        raise unsupported(f"a certificate: {error}"[:200]) from error
    _ = (certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string(), list(certificate.extensions))
    for attribute in (*certificate.subject, *certificate.issuer):
        if isinstance(attribute.value, str) and "\0" in attribute.value:
            raise ValueError("a name with a NUL, which programs in C read only up to there")
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.serial_number)
    return certificate


def weak(found: str, expected: str) -> BundleError:
    """The refusal of an algorithm or key that an attacker may break."""
    return BundleError(
        "bundle.signature-weak",
        "the signature uses an algorithm or a key that is too weak",
        details=f"found {found}; expected {expected}",
        resolution="sign the bundle with SHA-256 and a key of RSA 2048 bits or P-256 or more",
    )


def unsupported(found: str) -> BundleError:
    """The refusal of an algorithm that may be strong, but is not among the few that are accepted."""
    return BundleError(
        "bundle.signature-unsupported",
        "the signature uses an algorithm that is not accepted",
        details=f"found {found}",
        resolution="sign the bundle with SHA-256 and an RSA key or a key on P-256, P-384 or P-521",
    )
