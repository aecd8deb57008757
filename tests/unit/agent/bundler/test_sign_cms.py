"""The signatures that we write: exact DER, as OpenSSL reads them, and never by the wrong key."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pki.build import shared_pki
from support.signing import signed, signer_of

from agent.bundle.cms import check_signature, parse_signed_data
from agent.bundler.sign_cms import sign
from agent.bundler.signer import DIGESTS, HashName
from agent.errors import OtaError

PKI = shared_pki()
DATA = b"[update]\ncompatible=x\n"
KINDS = ("rsa2048", "rsa3072", "rsa4096", "good", "p384", "p521")
WHEN = dt.datetime(2026, 11, 25, 12, 30, 15, 999, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Fixed:
    """A signer that answers what it is told."""

    certificate: x509.Certificate
    answer: bytes

    def sign(self, message: bytes, hash_name: HashName) -> bytes:
        return self.answer


def openssl_verifies(message: bytes, tmp_path: Path, *options: str) -> bool:
    (tmp_path / "cms").write_bytes(message)
    argv = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(tmp_path / "cms"), "-purpose", "any"]
    argv += [
        "-CAfile",
        str(PKI.keyring(tmp_path)),
        "-no-CApath",
        "-no-CAstore",
        "-out",
        str(tmp_path / "out"),
        *options,
    ]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.mark.req("T09")
@pytest.mark.parametrize("hash_name", DIGESTS)
@pytest.mark.parametrize("kind", KINDS)
def test_openssl_and_our_reader_accept_what_every_key_signs_with_every_digest(
    kind: str, hash_name: HashName, tmp_path: Path
) -> None:
    message = signed(DATA, PKI.signer(kind), hash_name=hash_name)
    parsed = parse_signed_data(message)
    check_signature(parsed)
    assert (parsed.content, parsed.hash_name) == (DATA, hash_name)
    assert openssl_verifies(message, tmp_path)
    assert (tmp_path / "out").read_bytes() == DATA


def test_a_detached_signature_fits_its_content_and_no_other(tmp_path: Path) -> None:
    message = signed(DATA, PKI.signer("good-intermediate"), detached=True)
    assert parse_signed_data(message).message_digest == hashlib.sha256(DATA).digest()
    (tmp_path / "right").write_bytes(DATA)
    (tmp_path / "wrong").write_bytes(DATA + b" ")
    assert openssl_verifies(message, tmp_path, "-content", str(tmp_path / "right"))
    assert not openssl_verifies(message, tmp_path, "-content", str(tmp_path / "wrong"))


def test_the_bytes_are_those_that_openssl_would_write() -> None:
    """Taken apart and written anew by OpenSSL, every byte is the same: sets in order, nothing optional spelled out."""
    message = signed(DATA, PKI.signer("good-intermediate"))
    argv = ["openssl", "cms", "-cmsout", "-inform", "DER", "-outform", "DER"]
    assert subprocess.run(argv, input=message, capture_output=True, check=True).stdout == message


def test_the_sets_are_sorted_as_der_demands() -> None:
    info = asn1.ContentInfo.load(signed(DATA, PKI.signer("good-intermediate")))["content"]
    certificates = [each.dump() for each in info["certificates"]]
    attributes = [each.dump() for each in info["signer_infos"][0]["signed_attrs"]]
    assert len(certificates) == 2
    assert certificates == sorted(certificates)
    assert len(attributes) == 3
    assert attributes == sorted(attributes)


def test_a_certificate_is_carried_once() -> None:
    signer, ca = signer_of(PKI.signer("good-intermediate")), PKI.signer("intermediate").certificate
    message = sign(DATA, signer, [ca, signer.certificate, ca], when=WHEN)
    assert len(asn1.ContentInfo.load(message)["content"]["certificates"]) == 2


@pytest.mark.parametrize(
    ("when", "kind"),
    [(WHEN, "utc_time"), (WHEN.replace(year=2049), "utc_time"), (WHEN.replace(year=2050), "generalized_time")],
)
def test_the_signing_time_is_written_as_rfc_5652_says(when: dt.datetime, kind: str) -> None:
    message = sign(DATA, signer_of(PKI.signer()), when=when.astimezone(dt.timezone(dt.timedelta(hours=9))))
    attributes = asn1.ContentInfo.load(message)["content"]["signer_infos"][0]["signed_attrs"]
    value = next(each["values"][0] for each in attributes if each["type"].native == "signing_time")
    assert value.name == kind
    assert parse_signed_data(message).signing_time == when.replace(microsecond=0)


@pytest.mark.req("T09")
def test_a_signature_of_another_key_never_leaves() -> None:
    other = signer_of(PKI.signer("good-2")).sign(DATA, "sha256")
    with pytest.raises(OtaError) as caught:
        sign(DATA, Fixed(PKI.signer().certificate, other), when=WHEN)
    assert caught.value.code == "build.key-mismatch"
    assert "CN=good" in caught.value.details


@pytest.mark.req("T09")
@pytest.mark.parametrize("kind", ["rsa1024", "p224"])
def test_a_key_that_devices_refuse_signs_nothing(kind: str) -> None:
    with pytest.raises(OtaError) as caught:
        sign(DATA, signer_of(PKI.signer(kind)), when=WHEN)
    assert caught.value.code == "bundle.signature-weak"


def test_the_issuer_is_named_with_the_bytes_of_the_certificate(tmp_path: Path) -> None:
    """openssl writes printable strings where cryptography writes UTF-8; a name in another encoding finds no signer."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]
    argv += ["-subj", "/C=DE/O=Example/CN=signer", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "pem")]
    subprocess.run(argv, capture_output=True, check=True)
    from agent.bundler.key_pem import PemSigner, load_private_key

    certificate = x509.load_pem_x509_certificate((tmp_path / "pem").read_bytes())
    message = sign(DATA, PemSigner(certificate, load_private_key(str(tmp_path / "key"))), when=WHEN)
    named = asn1.ContentInfo.load(message)["content"]["signer_infos"][0]["sid"].chosen["issuer"].dump()
    assert b"\x13\x02DE" in named
    assert named in certificate.public_bytes(Encoding.DER)
