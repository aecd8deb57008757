"""Encrypts the CMS of a ``crypt`` bundle for its recipients: CMS EnvelopedData (RFC 5652 section 6, RFC 5753).

The content goes under AES-256-CBC with a fresh key, as RAUC does it. That key is encrypted for RSA recipients by
PKCS #1 v1.5, which every RAUC and every key in hardware can open, and for recipients on a curve by ephemeral-static ECDH
with SHA-256 and AES-256 key wrap. asn1crypto only puts the bytes together.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime

from asn1crypto import algos, cms, core, keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.bundle.enveloped import MAX_RECIPIENTS, agreed_key
from agent.bundle.strength import check_key
from agent.bundler.faults import BuildError

_KEY = 32  # bytes: AES-256 for the content and for the wrapping
_STD_DH_SHA256 = "1.3.132.1.11.1"
_AES256_WRAP = "2.16.840.1.101.3.4.1.45"


def envelop(content: bytes, certificates: Sequence[x509.Certificate]) -> bytes:
    """Returns DER of a ContentInfo with EnvelopedData that each of the recipients can open.

    Args:
        content: what only they may read: the CMS SignedData of the bundle.
        certificates: of the recipients; with RSA keys or keys on P-256, P-384 or P-521.

    Raises:
        BuildError: ``encrypt.no-recipient``, ``encrypt.recipients``.
        BundleError: ``bundle.signature-weak``, ``bundle.signature-unsupported`` for a key that is not accepted.
    """
    if not certificates:
        raise BuildError(
            "encrypt.no-recipient", "nobody is named whom to encrypt for", resolution="name certificates with --to"
        )
    if len(certificates) > MAX_RECIPIENTS:
        raise BuildError(
            "encrypt.recipients",
            "the bundle cannot be encrypted for so many recipients",
            details=f"{len(certificates)} are named, {MAX_RECIPIENTS} are possible, and 64 KiB in all",
            resolution="use one key for a group of devices, or make several bundles",
        )
    key, iv = secrets.token_bytes(_KEY), secrets.token_bytes(16)
    entries = [_entry(each, key) for each in certificates]
    padder, cipher = PKCS7(128).padder(), Cipher(AES256(key), CBC(iv)).encryptor()
    sealed = cipher.update(padder.update(content) + padder.finalize()) + cipher.finalize()
    enveloped = cms.EnvelopedData(
        {
            "version": "v2" if any(entry.name == "kari" for entry in entries) else "v0",
            "recipient_infos": sorted(entries, key=lambda entry: bytes(entry.dump())),  # DER sorts a SET OF
            "encrypted_content_info": {
                "content_type": "data",
                "content_encryption_algorithm": {"algorithm": "aes256_cbc", "parameters": core.OctetString(iv)},
                "encrypted_content": sealed,
            },
        }
    )
    return bytes(cms.ContentInfo({"content_type": "enveloped_data", "content": enveloped}).dump())


def recipient_doubts(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    """Yields what is odd about a recipient; RAUC and we encrypt for it all the same, since only its key matters."""
    name = certificate.subject.rfc4514_string()
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    is_rsa = isinstance(certificate.public_key(), rsa.RSAPublicKey)
    if usage is not None and not (usage.key_encipherment if is_rsa else usage.key_agreement):
        yield f"the key usage of {name} lacks {'keyEncipherment' if is_rsa else 'keyAgreement'}"
    if now > certificate.not_valid_after_utc:
        yield f"the certificate of {name} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"


def _entry(certificate: x509.Certificate, key: bytes) -> cms.RecipientInfo:
    public = certificate.public_key()
    check_key(public, f"the certificate of {certificate.subject.rfc4514_string()}"[:200])
    parsed = asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))
    named = cms.IssuerAndSerialNumber({"issuer": parsed.issuer, "serial_number": parsed.serial_number})
    if isinstance(public, rsa.RSAPublicKey):
        return _for_rsa(public, named, key)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _for_curve(public, named, key)
    raise RuntimeError("check_key let an unknown kind of key through")


def _for_rsa(public: rsa.RSAPublicKey, named: cms.IssuerAndSerialNumber, key: bytes) -> cms.RecipientInfo:
    entry = cms.KeyTransRecipientInfo(
        {
            "version": "v0",
            "rid": cms.RecipientIdentifier("issuer_and_serial_number", named),
            "key_encryption_algorithm": {"algorithm": "rsaes_pkcs1v15", "parameters": core.Null()},
            "encrypted_key": public.encrypt(key, padding.PKCS1v15()),
        }
    )
    return cms.RecipientInfo("ktri", entry)


def _for_curve(public: ec.EllipticCurvePublicKey, named: cms.IssuerAndSerialNumber, key: bytes) -> cms.RecipientInfo:
    ephemeral = ec.generate_private_key(public.curve)
    wrap = algos.AlgorithmIdentifier({"algorithm": _AES256_WRAP})
    kek = agreed_key(ephemeral.exchange(ec.ECDH(), public), hashes.SHA256(), wrap.dump(), _KEY, None)
    spki = ephemeral.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    entry = cms.KeyAgreeRecipientInfo(
        {
            "version": "v3",
            "originator": cms.OriginatorIdentifierOrKey("originator_key", keys.PublicKeyInfo.load(spki)),
            "key_encryption_algorithm": {"algorithm": _STD_DH_SHA256, "parameters": wrap},
            "recipient_encrypted_keys": [
                {
                    "rid": cms.KeyAgreementRecipientIdentifier("issuer_and_serial_number", named),
                    "encrypted_key": aes_key_wrap(kek, key),
                }
            ],
        }
    )
    return cms.RecipientInfo("kari", entry)
