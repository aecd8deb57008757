"""CMS messages put together by hand, for what no tool signs: from a digest alone, or with attributes of a wrong type."""

from __future__ import annotations

import datetime as dt

from asn1crypto import cms as asn1
from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from pki.build import Identity

_ID_DATA = "1.2.840.113549.1.7.1"
_TIME = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class _Any(core.SetOf):
    """The values of an attribute, whatever they are."""

    _child_spec = core.Any


class _Attribute(core.Sequence):
    _fields = [("type", core.ObjectIdentifier), ("values", _Any)]  # noqa: RUF012  the way of asn1crypto


class _Attributes(core.SetOf):
    _child_spec = _Attribute


def signed_data(
    signer: Identity, digest: bytes, *, content: bytes | None = None, signing_time: core.Asn1Value | None = None
) -> bytes:
    """A SignedData (SHA-256, DER) whose only freedom is the type of the signing time.

    Args:
        signer: its certificate goes along, its intermediates too.
        digest: SHA-256 of what is signed.
        content: the signed bytes, when the message is to carry them.
        signing_time: a UTCTime unless given.
    """
    attributes = _Attributes(
        [
            _attribute("1.2.840.113549.1.9.3", core.ObjectIdentifier(_ID_DATA)),
            _attribute("1.2.840.113549.1.9.5", signing_time or core.UTCTime(_TIME)),
            _attribute("1.2.840.113549.1.9.4", core.OctetString(digest)),
        ]
    ).dump()
    certificate = _converted(signer.certificate)
    info = asn1.SignerInfo(
        {
            "version": "v1",
            "sid": asn1.SignerIdentifier(
                {
                    "issuer_and_serial_number": asn1.IssuerAndSerialNumber(
                        {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                    )
                }
            ),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": asn1.CMSAttributes.load(attributes),
            "signature_algorithm": {
                "algorithm": "rsassa_pkcs1v15" if isinstance(signer.key, rsa.RSAPrivateKey) else "sha256_ecdsa"
            },
            "signature": _sign(signer, attributes),
        }
    )
    data = asn1.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "data", **({} if content is None else {"content": content})},
            "certificates": [certificate, *map(_converted, signer.intermediates)],
            "signer_infos": [info],
        }
    )
    return bytes(asn1.ContentInfo({"content_type": "signed_data", "content": data}).dump())


def _attribute(kind: str, value: core.Asn1Value) -> _Attribute:
    return _Attribute({"type": kind, "values": [value]})


def _converted(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def _sign(signer: Identity, attributes: bytes) -> bytes:
    if isinstance(signer.key, rsa.RSAPrivateKey):
        return signer.key.sign(attributes, padding.PKCS1v15(), hashes.SHA256())
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    return signer.key.sign(attributes, ec.ECDSA(hashes.SHA256()))
