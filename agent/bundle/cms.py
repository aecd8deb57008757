"""One CMS SignedData, read strictly and checked against the key of its signer (RFC 5652).

The policy is narrower than the standard, because everything that it leaves open has been an attack somewhere:
DER only; version 1 or 3; content type id-data; exactly one signer, with its certificate; signed attributes present,
each at most once, each with one value; SHA-256, SHA-384 or SHA-512, the same in every place; RSA of at least 2048 bits
or the curves P-256, P-384 and P-521. asn1crypto only takes the bytes apart: every judgement about a signature is made
by ``cryptography``. Whether the signer may be believed is the business of ``trust.py``.
"""

from __future__ import annotations

import hashlib
import hmac
import warnings
from dataclasses import dataclass
from datetime import datetime

from asn1crypto import algos, core
from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from agent.bundle.cms_shape import require_shape
from agent.bundle.der import boundary, malformed, require_der
from agent.bundle.enveloped import is_enveloped
from agent.bundle.strength import HASHES, check_key, named_hash, parse_fully, unsupported
from agent.errors import BundleError

MAX_CERTIFICATES = 16
_MAX_ATTRIBUTES = 16

_ID_DATA = "1.2.840.113549.1.7.1"
_ID_SIGNED_DATA = "1.2.840.113549.1.7.2"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_TIME = "1.2.840.113549.1.9.5"
_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_RSA_PSS = "1.2.840.113549.1.1.10"
_MGF1 = "1.2.840.113549.1.1.8"
_RSA_WITH = {
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
_ECDSA_WITH = {
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A SignedData that follows the policy. Nothing in it is authentic before ``check_signature``.

    Args:
        content: the signed bytes when the message carries them, None when it is detached.
        hash_name: ``sha256``, ``sha384`` or ``sha512``.
        message_digest: digest of the content, from the signed attributes.
        signer: the certificate that the signer names.
        others: the further certificates that the message carries.
        signing_time: when the signer says it signed.
        attributes: the bytes that the signature covers.
        signature: the signature over them.
        pss_salt: salt length in bytes for RSA-PSS, None for the other schemes.
    """

    content: bytes | None
    hash_name: str
    message_digest: bytes
    signer: x509.Certificate
    others: tuple[x509.Certificate, ...]
    signing_time: datetime | None
    attributes: bytes
    signature: bytes
    pss_salt: int | None


@boundary
def is_detached(cms: bytes) -> bool:
    """Says whether the signed bytes are outside of the message, as in ``plain`` bundles and never in encrypted ones.

    Raises:
        BundleError: as ``parse_signed_data``.
    """
    if is_enveloped(cms):
        return False
    content = _signed_data(cms)["encap_content_info"]["content"]
    return isinstance(content, core.Void) or content.contents is None


@boundary
def parse_signed_data(cms: bytes) -> SignedMessage:
    """Takes a DER SignedData apart and holds it against the policy.

    Raises:
        BundleError: ``bundle.signature-malformed``, ``bundle.trailing-data``, ``bundle.unsigned`` (no signer),
            ``bundle.signers`` (several signers, or the signer's certificate is missing), ``bundle.signature-weak``,
            ``bundle.signature-unsupported``.
    """
    data = _signed_data(cms)
    info = _only_signer(data)
    certificates = _certificates(data)
    signer = _find_signer(info["sid"], certificates)
    hash_name = named_hash(info["digest_algorithm"]["algorithm"].dotted)
    _expect(info["digest_algorithm"]["parameters"].native is None, "the digest algorithm has parameters")
    listed = [each["algorithm"].dotted for each in data["digest_algorithms"]]
    _expect(listed == [info["digest_algorithm"]["algorithm"].dotted], "the digest algorithms do not match the signer's")
    check_key(signer.public_key(), "the signer's certificate")
    pss_salt = _scheme(info["signature_algorithm"], signer, hash_name)
    raw = info["signed_attrs"]
    _expect(not isinstance(raw, core.Void) and len(raw) > 0, "it has no signed attributes")
    signed = b"\x31" + raw.dump()[1:]  # RFC 5652 section 5.4: signed as a SET OF, stored with the tag [0]
    attributes = _attributes(raw)
    kind = attributes.get(_CONTENT_TYPE)
    _expect(kind is not None and kind.dotted == _ID_DATA, "the signed content type is missing or not id-data")
    digest = attributes.get(_MESSAGE_DIGEST)
    message_digest = b"" if digest is None else bytes(digest.native)
    _expect(len(message_digest) == HASHES[hash_name].digest_size, "the signed digest is missing or has a wrong length")
    content = data["encap_content_info"]["content"]
    detached = isinstance(content, core.Void) or content.contents is None
    return SignedMessage(
        content=None if detached else bytes(content.contents),
        hash_name=hash_name,
        message_digest=message_digest,
        signer=signer,
        others=tuple(each for each in certificates if each != signer),
        signing_time=_signing_time(attributes),
        attributes=signed,
        signature=bytes(info["signature"].native),
        pss_salt=pss_salt,
    )


def check_signature(message: SignedMessage) -> None:
    """Checks the signature over the signed attributes and, when attached, the digest of the content.

    Raises:
        BundleError: ``bundle.signature-invalid``.
    """
    try:
        _verify(message)
    except InvalidSignature as error:
        raise _invalid("the signature was not made by the key of the named signer, or was changed since") from error
    except Exception as error:  # a signature that the library cannot even try is no signature
        raise _invalid(f"{type(error).__name__}: {error}"[:300]) from error
    if message.content is not None and not digest_matches(
        message, hashlib.new(message.hash_name, message.content).digest()
    ):
        raise _invalid("the manifest in the signature was changed after it was signed")


def digest_matches(message: SignedMessage, digest: bytes) -> bool:
    """Compares a digest of the content with the signed one."""
    return hmac.compare_digest(message.message_digest, digest)


def _verify(message: SignedMessage) -> None:
    key = message.signer.public_key()
    digest = HASHES[message.hash_name]
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(message.signature, message.attributes, ec.ECDSA(digest))
    elif isinstance(key, rsa.RSAPublicKey):
        scheme: padding.PKCS1v15 | padding.PSS = padding.PKCS1v15()
        if message.pss_salt is not None:
            scheme = padding.PSS(padding.MGF1(digest), message.pss_salt)
        key.verify(message.signature, message.attributes, scheme, digest)
    else:
        raise RuntimeError("check_key let an unknown kind of key through")


def _signed_data(cms: bytes) -> asn1.SignedData:
    require_der(cms)
    info = asn1.ContentInfo.load(cms, strict=True)
    kind = info["content_type"].dotted
    _expect(kind == _ID_SIGNED_DATA, f"it is of type {kind}, not a SignedData")
    data = info["content"]
    _expect(data["version"].native in ("v1", "v3"), f"version {data['version'].native} of SignedData")
    kind = data["encap_content_info"]["content_type"].dotted
    _expect(kind == _ID_DATA, f"its content is of type {kind}, not id-data")
    require_shape(cms)
    return data


def _only_signer(data: asn1.SignedData) -> asn1.SignerInfo:
    infos = data["signer_infos"]
    if len(infos) == 0:
        raise BundleError(
            "bundle.unsigned",
            "the bundle carries no signature",
            details="the CMS at its end names no signer",
            resolution="create it with 'ota-bundle create' or 'rauc bundle', which sign it",
        )
    if len(infos) > 1:
        raise BundleError(
            "bundle.signers",
            "the bundle must have exactly one signer",
            details=f"it has {len(infos)}",
            resolution="sign the bundle with one key only",
        )
    info = infos[0]
    expected = "v1" if info["sid"].name == "issuer_and_serial_number" else "v3"
    _expect(info["version"].native == expected, "the version of the signer does not fit its identifier")
    return info


def _certificates(data: asn1.SignedData) -> tuple[x509.Certificate, ...]:
    found = data["certificates"]
    if isinstance(found, core.Void):
        return ()
    _expect(len(found) <= MAX_CERTIFICATES, f"it carries {len(found)} certificates, more than {MAX_CERTIFICATES}")
    _expect(all(each.name == "certificate" for each in found), "it carries a certificate of an unknown kind")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what the library only warns about (RFC 5280) is refused here
        return tuple(parse_fully(x509.load_der_x509_certificate(each.chosen.dump())) for each in found)


def _find_signer(identifier: asn1.SignerIdentifier, certificates: tuple[x509.Certificate, ...]) -> x509.Certificate:
    found = {each for each in certificates if _identifies(identifier, each)}
    if len(found) != 1:
        raise BundleError(
            "bundle.signers",
            "the bundle must carry the certificate of its signer",
            details=f"{len(found)} of its {len(certificates)} certificates match",
            resolution="sign the bundle again, with the signer's certificate included",
        )
    return found.pop()


def _identifies(identifier: asn1.SignerIdentifier, certificate: x509.Certificate) -> bool:
    if identifier.name == "issuer_and_serial_number":
        wanted = identifier.chosen
        return bool(
            certificate.serial_number == wanted["serial_number"].native
            and certificate.issuer.public_bytes() == wanted["issuer"].dump()
        )
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return False
    return bool(extension.value.digest == identifier.chosen.native)


def _scheme(algorithm: algos.SignedDigestAlgorithm, signer: x509.Certificate, hash_name: str) -> int | None:
    """Checks that the signature algorithm fits the key and the digest; returns the salt length of RSA-PSS."""
    oid = algorithm["algorithm"].dotted
    key = signer.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        if oid not in _ECDSA_WITH:
            raise unsupported(f"signature algorithm {oid} with an elliptic curve key")
        _expect(_ECDSA_WITH[oid] == hash_name, "the signature algorithm does not match the digest algorithm")
        _expect(algorithm["parameters"].native is None, "the signature algorithm has parameters")  # RFC 5758, 3.2
        return None
    if oid == _RSA_PSS:
        return _pss_salt(algorithm["parameters"], hash_name)
    if oid != _RSA_ENCRYPTION:
        used = _RSA_WITH.get(oid) or named_hash(oid)
        _expect(used == hash_name, "the signature algorithm does not match the digest algorithm")
    _expect(algorithm["parameters"].native is None, "the signature algorithm has parameters")
    return None


def _pss_salt(parameters: algos.RSASSAPSSParams, hash_name: str) -> int:
    inner = parameters["mask_gen_algorithm"]
    _expect(named_hash(parameters["hash_algorithm"]["algorithm"].dotted) == hash_name, "RSA-PSS uses another digest")
    _expect(inner["algorithm"].dotted == _MGF1, "RSA-PSS uses an unknown mask generation")
    _expect(named_hash(inner["parameters"]["algorithm"].dotted) == hash_name, "RSA-PSS masks with another digest")
    _expect(parameters["trailer_field"].native in (1, "trailer_field_bc"), "RSA-PSS uses an unknown trailer")
    salt = int(parameters["salt_length"].native)
    _expect(0 <= salt <= hashes.SHA512.digest_size, f"RSA-PSS uses a salt of {salt} bytes")
    return salt


def _attributes(raw: asn1.CMSAttributes) -> dict[str, core.Asn1Value | None]:
    """Returns the signed attributes by identifier; each once and with one value, as RFC 5652 section 11 demands."""
    _expect(len(raw) <= _MAX_ATTRIBUTES, f"it has {len(raw)} signed attributes, more than {_MAX_ATTRIBUTES}")
    found: dict[str, core.Asn1Value | None] = {}
    for attribute in raw:
        kind = attribute["type"].dotted
        _expect(kind not in found, f"the signed attribute {kind} appears twice")
        if kind in (_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNING_TIME):
            _expect(len(attribute["values"]) == 1, f"the signed attribute {kind} has several values")
            found[kind] = attribute["values"][0]
        else:
            found[kind] = None
    return found


def _signing_time(attributes: dict[str, core.Asn1Value | None]) -> datetime | None:
    value = attributes.get(_SIGNING_TIME)
    if value is None:
        return None
    found = value.native
    _expect(isinstance(found, datetime) and found.tzinfo is not None, "the signing time is no time")
    return found if isinstance(found, datetime) else None


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise malformed(otherwise)


def _invalid(details: str) -> BundleError:
    return BundleError(
        "bundle.signature-invalid",
        "the signature of the bundle is wrong",
        details=details,
        resolution="do not use this bundle; get it again from its maker",
    )
