"""The signature of a bundle: one CMS SignedData of one signer, in DER (RFC 5652).

asn1crypto only puts the bytes together; the signature comes from a ``Signer``. The shape is the one that ``rauc bundle``
and ``openssl cms -sign -binary -nosmimecap`` write: version 1, the signer named by issuer and serial number, the signed
attributes content type, signing time and message digest, digest algorithms without parameters (RFC 5754 section 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from asn1crypto import algos, core
from asn1crypto import cms as asn1
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from agent.bundle import cms
from agent.bundler.faults import BuildError
from agent.bundler.signer import HashName, Signer
from agent.errors import BundleError

_LAST_UTC_TIME = 2049  # RFC 5652 section 11.3: GeneralizedTime from 2050 on


def sign(
    data: bytes,
    signer: Signer,
    others: Sequence[x509.Certificate] = (),
    *,
    when: datetime,
    hash_name: HashName = "sha256",
) -> bytes:
    """Returns the SignedData that carries ``data``; see ``sign_digest``."""
    digest = hashlib.new(hash_name, data).digest()
    return sign_digest(digest, signer, others, when=when, hash_name=hash_name, content=data)


def sign_digest(
    digest: bytes,
    signer: Signer,
    others: Sequence[x509.Certificate] = (),
    *,
    when: datetime,
    hash_name: HashName = "sha256",
    content: bytes | None = None,
) -> bytes:
    """Returns the SignedData over the content with that digest, after checking it as a device would.

    Args:
        digest: of the content, by ``hash_name``; whoever has hashed a large file needs not load it.
        signer: signs.
        others: the certificates between the signer and the root, which the message carries too.
        when: the signing time; it needs a time zone.
        hash_name: of the content and of the signed attributes.
        content: the content itself, to be carried; None makes a detached signature.

    Raises:
        BuildError: ``build.key-mismatch``, and what the signer raises.
        BundleError: ``bundle.signature-weak``, ``bundle.signature-unsupported`` for keys that devices refuse.
    """
    certificate = _asn1_certificate(signer.certificate)
    attributes = _signed_attributes(digest, when)
    digest_algorithm = algos.DigestAlgorithm({"algorithm": hash_name})
    info = asn1.SignerInfo(
        {
            "version": "v1",
            "sid": asn1.SignerIdentifier(
                "issuer_and_serial_number",
                asn1.IssuerAndSerialNumber({"issuer": certificate.issuer, "serial_number": certificate.serial_number}),
            ),
            "digest_algorithm": digest_algorithm,
            "signed_attrs": attributes,
            "signature_algorithm": _signature_algorithm(signer.certificate, hash_name),
            "signature": signer.sign(attributes.dump(), hash_name),
        }
    )
    carried = dict.fromkeys((signer.certificate, *others))  # each once: devices count them
    data = asn1.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [digest_algorithm],
            "encap_content_info": _content_info(content),
            "certificates": [asn1.CertificateChoices("certificate", _asn1_certificate(each)) for each in carried],
            "signer_infos": [info],
        }
    )
    message: bytes = asn1.ContentInfo({"content_type": "signed_data", "content": data}).dump()
    _check(message, signer.certificate)
    return message


def _signed_attributes(digest: bytes, when: datetime) -> asn1.CMSAttributes:
    moment = when.astimezone(UTC).replace(microsecond=0)
    kind, encoding = "utc_time", core.UTCTime
    if moment.year > _LAST_UTC_TIME:
        kind, encoding = "generalized_time", core.GeneralizedTime
    return asn1.CMSAttributes(
        [
            asn1.CMSAttribute({"type": "content_type", "values": ["data"]}),
            asn1.CMSAttribute({"type": "signing_time", "values": [asn1.Time(kind, encoding(moment))]}),
            asn1.CMSAttribute({"type": "message_digest", "values": [digest]}),
        ]
    )


def _signature_algorithm(certificate: x509.Certificate, hash_name: HashName) -> algos.SignedDigestAlgorithm:
    if isinstance(certificate.public_key(), rsa.RSAPublicKey):
        # RFC 3370 section 3.2: rsaEncryption with NULL, which every implementation must know.
        return algos.SignedDigestAlgorithm({"algorithm": "rsassa_pkcs1v15", "parameters": core.Null()})
    return algos.SignedDigestAlgorithm({"algorithm": f"{hash_name}_ecdsa"})


def _content_info(content: bytes | None) -> dict[str, object]:
    return {"content_type": "data"} if content is None else {"content_type": "data", "content": content}


def _asn1_certificate(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def _check(message: bytes, certificate: x509.Certificate) -> None:
    """Reads the message as a device will: a wrong key, or a signature of a wrong kind, must show here."""
    try:
        cms.check_signature(cms.parse_signed_data(message))
    except BundleError as error:
        if error.code != "bundle.signature-invalid":
            raise
        raise BuildError(
            "build.key-mismatch",
            "the private key does not belong to the certificate",
            details=f"the signature does not verify with the public key of {certificate.subject.rfc4514_string()[:200]}",
            resolution="name the certificate and the key of the same signer; a signing command must sign the bytes on its "
            "standard input, hashed with the digest that it is told",
        ) from error
