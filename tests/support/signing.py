"""Signs for tests, by our own writer; and as nobody should, with the key of somebody else."""

from __future__ import annotations

import datetime as dt
import hashlib

from asn1crypto import cms as asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pki.build import Identity

from agent.bundler.key_pem import PemSigner
from agent.bundler.sign_cms import sign, sign_digest
from agent.bundler.signer import HashName


def signer_of(identity: Identity) -> PemSigner:
    """The identity as a Signer."""
    return PemSigner(identity.certificate, identity.key)  # type: ignore[arg-type]  # Ed25519 is not for this


def signed(data: bytes, identity: Identity, *, detached: bool = False, hash_name: HashName = "sha256") -> bytes:
    """The CMS SignedData over ``data``, with the identity's intermediates."""
    signer, others, now = signer_of(identity), identity.intermediates, dt.datetime.now(dt.UTC)
    if detached:
        return sign_digest(hashlib.new(hash_name, data).digest(), signer, others, when=now, hash_name=hash_name)
    return sign(data, signer, others, when=now, hash_name=hash_name)


def signed_by_another_key(data: bytes, claimed: Identity, real: Identity, *, detached: bool = False) -> bytes:
    """Signed with the key of one signer (on P-256) under the certificate of another."""
    if not isinstance(real.key, ec.EllipticCurvePrivateKey):
        raise TypeError("only for signers on an elliptic curve")
    message = asn1.ContentInfo.load(signed(data, claimed, detached=detached))
    info = message["content"]["signer_infos"][0]
    attributes = info["signed_attrs"].untag()  # what is signed is a SET OF, without the tag (RFC 5652, 5.4)
    info["signature"] = real.key.sign(attributes.dump(force=True), ec.ECDSA(hashes.SHA256()))
    return bytes(message.dump(force=True))
