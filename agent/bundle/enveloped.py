"""The outer CMS of an encrypted bundle: EnvelopedData for one or many recipients, opened with the key of this device.

Source: RFC 5652 section 6 (EnvelopedData), RFC 3370 section 4.2 and RFC 8017 (RSA), RFC 5753 (ephemeral-static ECDH).
RAUC writes it by ``CMS_encrypt`` with AES-256-CBC: RSA recipients by PKCS #1 v1.5, recipients with a key on a curve by
``dhSinglePass-stdDH-sha1kdf`` and AES key wrap. What comes out is not authentic yet: it is the SignedData that the rest
of the verification begins with. Every failure with a key looks the same, so that nobody can learn from the differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from asn1crypto import algos, core
from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.padding import PKCS7

from agent.bundle.der import boundary, malformed, require_der
from agent.errors import BundleError

MAX_RECIPIENTS = 512  # 64 KiB of signature hold some 250 of them

ID_ENVELOPED_DATA = "1.2.840.113549.1.7.3"
_ID_DATA = "1.2.840.113549.1.7.1"
_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_RSA_OAEP = "1.2.840.113549.1.1.7"
_MGF1 = "1.2.840.113549.1.1.8"
_CONTENT_CIPHERS = {  # AES-CBC: bytes of the key
    "2.16.840.1.101.3.4.1.2": 16,
    "2.16.840.1.101.3.4.1.22": 24,
    "2.16.840.1.101.3.4.1.42": 32,
}
KEY_WRAPS = {  # AES key wrap without padding (RFC 3394): bytes of the key
    "2.16.840.1.101.3.4.1.5": 16,
    "2.16.840.1.101.3.4.1.25": 24,
    "2.16.840.1.101.3.4.1.45": 32,
}
KEY_AGREEMENTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {  # dhSinglePass-stdDH: the digest of the KDF
    "1.3.133.16.840.63.0.2": hashes.SHA1,  # as a KDF it needs no resistance against collisions
    "1.3.132.1.11.0": hashes.SHA224,
    "1.3.132.1.11.1": hashes.SHA256,
    "1.3.132.1.11.2": hashes.SHA384,
    "1.3.132.1.11.3": hashes.SHA512,
}
_OAEP_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "1.3.14.3.2.26": hashes.SHA1,
    "2.16.840.1.101.3.4.2.1": hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """A key that bundles may be encrypted for.

    Args:
        key: RSA, or on P-256, P-384 or P-521.
        certificate: the one that the bundle was encrypted for; only its recipient entry is tried then.
    """

    key: PrivateKey
    certificate: x509.Certificate | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a bundle was encrypted for, as it says itself.

    Args:
        kind: ``RSA`` or ``EC``.
        issuer: name in the certificate, empty when it is told by its key identifier.
        serial: serial number of the certificate, hexadecimal, or the key identifier.
    """

    kind: str
    issuer: str
    serial: str


class _NoKey(Exception):
    """This entry does not open with this key."""


@boundary
def is_enveloped(cms: bytes) -> bool:
    """Says whether the CMS at the end of a bundle is encrypted.

    Raises:
        BundleError: ``bundle.signature-malformed``, ``bundle.trailing-data``.
    """
    require_der(cms)
    return bool(asn1.ContentInfo.load(cms, strict=True)["content_type"].dotted == ID_ENVELOPED_DATA)


@boundary
def recipients(cms: bytes) -> tuple[Recipient, ...]:
    """Lists whom an EnvelopedData was encrypted for; raises as ``open_enveloped``."""
    found = []
    for info in _enveloped(cms)["recipient_infos"]:
        if info.name == "ktri":
            found.append(_described("RSA", info.chosen["rid"]))
        elif info.name == "kari":
            found += [_described("EC", each["rid"]) for each in info.chosen["recipient_encrypted_keys"]]
    return tuple(found)


@boundary
def open_enveloped(cms: bytes, keys: Sequence[RecipientKey]) -> bytes:
    """Decrypts the CMS of an encrypted bundle.

    Args:
        cms: DER of a ContentInfo with EnvelopedData.
        keys: the keys of this device; tried in turn.

    Returns:
        What was encrypted: the CMS SignedData, which proves nothing before its signature is checked.

    Raises:
        BundleError: ``bundle.signature-malformed``, ``bundle.trailing-data``, ``bundle.signature-unsupported``,
            ``bundle.recipient`` when none of the keys opens it.
    """
    data = _enveloped(cms)
    content = data["encrypted_content_info"]
    if content["content_type"].dotted != _ID_DATA:
        raise malformed("the encrypted content is not id-data")
    length = _CONTENT_CIPHERS.get(content["content_encryption_algorithm"]["algorithm"].dotted)
    if length is None:
        raise _unsupported(f"content encryption {content['content_encryption_algorithm']['algorithm'].dotted}")
    iv = bytes(content["content_encryption_algorithm"]["parameters"].native)
    sealed = content["encrypted_content"]
    if isinstance(sealed, core.Void) or sealed.contents is None or len(iv) != 16 or len(sealed.contents) % 16:
        raise malformed("the encrypted content is missing or is no whole number of blocks")
    for attempt in _attempts(data["recipient_infos"], keys):
        try:
            return _content(attempt(), length, iv, bytes(sealed.contents))
        except Exception:  # noqa: BLE001, S112  every failure with a key must look the same
            continue
    raise BundleError(
        "bundle.recipient",
        "the bundle is encrypted, and no key of this device opens it",
        details=told_recipients(cms),
        resolution="encrypt the bundle for this device's certificate ('ota-bundle encrypt --to'), or configure the right key",
    )


def told_recipients(cms: bytes) -> str:
    """Whom an EnvelopedData was encrypted for, in one line for messages; raises as ``recipients``."""
    found = recipients(cms)
    some = "; ".join(f"{each.kind}, {each.serial} of {each.issuer or 'unknown'}" for each in found[:4])
    return f"it was encrypted for {len(found)} recipient{'s' if len(found) != 1 else ''}: {some}"[:400]


def _enveloped(cms: bytes) -> asn1.EnvelopedData:
    require_der(cms)
    outer = asn1.ContentInfo.load(cms, strict=True)
    if outer["content_type"].dotted != ID_ENVELOPED_DATA:
        raise malformed(f"it is of the content type {outer['content_type'].dotted}, not EnvelopedData")
    data = outer["content"]
    if not 0 < len(data["recipient_infos"]) <= MAX_RECIPIENTS:
        raise malformed(f"it has {len(data['recipient_infos'])} recipients")
    return data


def _attempts(infos: asn1.RecipientInfos, keys: Sequence[RecipientKey]) -> Iterator[Callable[[], bytes]]:
    """Yields ways to get the content key: only entries that fit the kind of a key, and its certificate if given."""
    for key in keys:
        for info in infos:
            entry = info.chosen
            if info.name == "ktri" and isinstance(key.key, rsa.RSAPrivateKey):
                if _is_for(entry["rid"], key.certificate):
                    yield partial(_by_rsa, entry, key.key)
            elif info.name == "kari" and isinstance(key.key, ec.EllipticCurvePrivateKey):
                for each in entry["recipient_encrypted_keys"]:
                    if _is_for(each["rid"], key.certificate):
                        yield partial(_by_agreement, entry, bytes(each["encrypted_key"].native), key.key)


def _is_for(identifier: core.Choice, certificate: x509.Certificate | None) -> bool:
    if certificate is None:
        return True
    chosen = identifier.chosen
    if identifier.name == "issuer_and_serial_number":
        return bool(
            certificate.serial_number == chosen["serial_number"].native
            and certificate.issuer.public_bytes() == chosen["issuer"].dump()
        )
    named = chosen["subject_key_identifier"] if identifier.name == "r_key_id" else chosen
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
    return bool(own == named.native)


def _by_rsa(entry: asn1.KeyTransRecipientInfo, key: rsa.RSAPrivateKey) -> bytes:
    algorithm = entry["key_encryption_algorithm"]
    oid = algorithm["algorithm"].dotted
    if oid == _RSA_ENCRYPTION:
        return key.decrypt(bytes(entry["encrypted_key"].native), padding.PKCS1v15())
    if oid != _RSA_OAEP:
        raise _NoKey
    return key.decrypt(
        bytes(entry["encrypted_key"].native), _oaep(algos.RSAESOAEPParams.load(algorithm["parameters"].dump()))
    )


def _oaep(parameters: algos.RSAESOAEPParams) -> padding.OAEP:
    mask = parameters["mask_gen_algorithm"]
    label = parameters["p_source_algorithm"]["parameters"].native
    if mask["algorithm"].dotted != _MGF1 or label:
        raise _NoKey
    return padding.OAEP(
        padding.MGF1(_OAEP_HASHES[mask["parameters"]["algorithm"].dotted]()),
        _OAEP_HASHES[parameters["hash_algorithm"]["algorithm"].dotted](),
        None,
    )


def _by_agreement(entry: asn1.KeyAgreeRecipientInfo, wrapped: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    algorithm = entry["key_encryption_algorithm"]
    wrap = asn1.KeyEncryptionAlgorithm.load(algorithm["parameters"].dump())
    originator = entry["originator"]
    if originator.name != "originator_key":
        raise _NoKey  # static-static needs the certificate of the other side
    point = originator.chosen["public_key"].native
    other = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, bytes(point))
    ukm = entry["ukm"]
    kek = agreed_key(
        key.exchange(ec.ECDH(), other),
        KEY_AGREEMENTS[algorithm["algorithm"].dotted](),
        algorithm["parameters"].dump(),
        KEY_WRAPS[wrap["algorithm"].dotted],
        None if isinstance(ukm, core.Void) or ukm.native is None else bytes(ukm.native),
    )
    return aes_key_unwrap(kek, wrapped)


def agreed_key(shared: bytes, digest: hashes.HashAlgorithm, wrap: bytes, length: int, ukm: bytes | None) -> bytes:
    """Derives the key that wraps the content key from what ECDH gave (RFC 5753 section 7.2, ECC-CMS-SharedInfo).

    Args:
        shared: the x coordinate that both sides know.
        digest: of the X9.63 key derivation.
        wrap: DER of the AlgorithmIdentifier of the key wrap, exactly as in the message.
        length: bytes of the key.
        ukm: user keying material, if the message carries any.
    """
    info = wrap
    if ukm is not None:
        info += core.OctetString(ukm, explicit=0).dump()
    info += core.OctetString((8 * length).to_bytes(4, "big"), explicit=2).dump()
    return X963KDF(digest, length, core.Sequence(contents=info).dump()).derive(shared)


def _content(key: bytes, length: int, iv: bytes, sealed: bytes) -> bytes:
    if len(key) != length:
        raise _NoKey
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    opened = unpadder.update(decryptor.update(sealed) + decryptor.finalize()) + unpadder.finalize()
    if opened[:1] != b"\x30":
        raise _NoKey  # one wrong key in 256 leaves something that looks padded
    return opened


def _described(kind: str, identifier: core.Choice) -> Recipient:
    chosen = identifier.chosen
    if identifier.name == "issuer_and_serial_number":
        return Recipient(kind, str(chosen["issuer"].human_friendly)[:200], f"{chosen['serial_number'].native:x}")
    named = chosen["subject_key_identifier"] if identifier.name == "r_key_id" else chosen
    return Recipient(kind, "", bytes(named.native).hex())


def _unsupported(found: str) -> BundleError:
    return BundleError(
        "bundle.signature-unsupported",
        "the bundle is encrypted in a way that is not accepted",
        details=f"found {found}",
        resolution="encrypt the bundle with 'ota-bundle encrypt' or 'rauc encrypt' (AES-CBC)",
    )
