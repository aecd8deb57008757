"""What the signature may look like; the refusals of whole bundles are in ``test_verify_refusals``."""

from __future__ import annotations

import datetime as dt
import hashlib

import pytest
from asn1crypto import cms as asn1
from asn1crypto import core
from hypothesis import given, settings
from hypothesis import strategies as st
from pki.build import shared_pki
from support.bundles import trust_in
from support.signing import signed
from support.tampering import flipped, openssl_cms

from agent.bundle.cms import check_signature, digest_matches, is_detached, parse_signed_data
from agent.bundle.der import require_der
from agent.bundle.trust import check_chain
from agent.errors import BundleError

DATA = b"[update]\ncompatible=x\n"


def good_cms(*, detached: bool = False) -> bytes:
    signer = shared_pki().signer("good-intermediate")
    return signed(DATA, signer, detached=detached)


GOOD = good_cms()
TRUST = trust_in()


def code_of(cms: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        check_signature(parse_signed_data(cms))
    return caught.value.code


def changed(change: object) -> bytes:
    """A SignedData taken apart by asn1crypto, changed, and encoded again."""
    info = asn1.ContentInfo.load(GOOD)
    change(info["content"])  # type: ignore[operator]
    return bytes(info.dump(force=True))


@pytest.mark.parametrize(
    ("signer", "options"),
    [
        ("good", ("-md", "sha256")),
        ("good", ("-md", "sha384")),
        ("good", ("-md", "sha512")),
        ("p384", ("-md", "sha384")),
        ("p521", ("-md", "sha512")),
        ("rsa2048", ("-md", "sha256")),
        ("rsa4096", ("-md", "sha512")),
        ("good", ("-md", "sha256", "-keyid")),
        ("good-intermediate", ("-md", "sha256")),
    ],
)
@pytest.mark.parametrize("detached", [False, True])
def test_signatures_of_openssl_are_understood(signer: str, options: tuple[str, ...], detached: bool) -> None:
    identity = shared_pki().signer(signer)
    cms = openssl_cms(DATA, identity, detached=detached, options=options)
    message = parse_signed_data(cms)
    check_signature(message)
    assert message.signer == identity.certificate
    assert set(message.others) == set(identity.intermediates)
    assert message.content == (None if detached else DATA)
    assert is_detached(cms) is detached
    assert digest_matches(message, hashlib.new(message.hash_name, DATA).digest())
    assert message.signing_time is not None
    assert abs(message.signing_time - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


@pytest.mark.parametrize("salt", ["digest", "max", "20"])
def test_rsa_pss_is_understood(salt: str) -> None:
    identity = shared_pki().signer("rsa2048")
    cms = openssl_cms(DATA, identity, key_options=("rsa_padding_mode:pss", f"rsa_pss_saltlen:{salt}"))
    if salt == "max":  # 222 bytes for this key: beyond what any policy asks for
        assert code_of(cms) == "bundle.signature-malformed"
    else:
        check_signature(parse_signed_data(cms))


def test_rsa_pss_with_another_mask_digest_is_refused() -> None:
    cms = openssl_cms(DATA, shared_pki().signer("rsa2048"), key_options=("rsa_padding_mode:pss", "rsa_mgf1_md:sha1"))
    assert code_of(cms) == "bundle.signature-weak"


def test_the_builder_of_cryptography_is_understood() -> None:
    message = parse_signed_data(GOOD)
    check_signature(message)
    assert message.hash_name == "sha256"
    assert message.pss_salt is None


def repeat_attribute(data: asn1.SignedData) -> None:
    attributes = data["signer_infos"][0]["signed_attrs"]
    attributes.append(attributes[0])


def two_values(data: asn1.SignedData) -> None:
    data["signer_infos"][0]["signed_attrs"][0]["values"].append("data")


def drop_digest(data: asn1.SignedData) -> None:
    kept = [each for each in data["signer_infos"][0]["signed_attrs"] if each["type"].native != "message_digest"]
    data["signer_infos"][0]["signed_attrs"] = asn1.CMSAttributes(kept)


def many_attributes(data: asn1.SignedData) -> None:
    for number in range(20):
        kind = f"1.2.3.4.{number}"
        data["signer_infos"][0]["signed_attrs"].append({"type": kind, "values": [core.Null()]})


def another_digest_list(data: asn1.SignedData) -> None:
    data["digest_algorithms"] = [{"algorithm": "sha512"}]


def signature_of_another_digest(data: asn1.SignedData) -> None:
    data["signer_infos"][0]["signature_algorithm"] = {"algorithm": "sha384_ecdsa"}


def rsa_algorithm_for_ec_key(data: asn1.SignedData) -> None:
    data["signer_infos"][0]["signature_algorithm"] = {"algorithm": "sha256_rsa"}


def version_four(data: asn1.SignedData) -> None:
    data["version"] = "v4"


def wrong_signer_version(data: asn1.SignedData) -> None:
    data["signer_infos"][0]["version"] = "v3"


def many_certificates(data: asn1.SignedData) -> None:
    for _ in range(16):
        data["certificates"].append(data["certificates"][0])


@pytest.mark.req("T09")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (repeat_attribute, "bundle.signature-malformed"),
        (two_values, "bundle.signature-malformed"),
        (drop_digest, "bundle.signature-malformed"),
        (many_attributes, "bundle.signature-malformed"),
        (another_digest_list, "bundle.signature-malformed"),
        (signature_of_another_digest, "bundle.signature-malformed"),
        (rsa_algorithm_for_ec_key, "bundle.signature-unsupported"),
        (version_four, "bundle.signature-malformed"),
        (wrong_signer_version, "bundle.signature-malformed"),
        (many_certificates, "bundle.signature-malformed"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_the_standard_leaves_open_is_closed(change: object, code: str) -> None:
    assert code_of(changed(change)) == code


@pytest.mark.req("T09", "T16")
@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_survives(position: int, mask: int) -> None:
    """Either the message is refused, or what it says is what was signed."""
    try:
        message = parse_signed_data(flipped(GOOD, position, mask))
        check_signature(message)
        check_chain(TRUST, message.signer, message.others, shared_pki().now)
    except BundleError:
        return
    original = parse_signed_data(GOOD)
    assert (message.content, message.signer, message.attributes) == (
        original.content,
        original.signer,
        original.attributes,
    )


@pytest.mark.req("T16")
@settings(deadline=None)
@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: GOOD[:200] + tail))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(BundleError):
        parse_signed_data(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bundle.signature-malformed"),
        (b"\x30", "bundle.signature-malformed"),
        (b"\x30\x00\x00", "bundle.trailing-data"),
        (b"\x30\x80\x00\x00", "bundle.signature-malformed"),
        (b"\x30\x81\x02\x05\x00", "bundle.signature-malformed"),
        (b"\x30\x82\x00\x80" + b"\x05\x00" * 64, "bundle.signature-malformed"),
        (b"\x30\x02\x05\x01", "bundle.signature-malformed"),
        (b"\x30\x04\x24\x02\x04\x00", "bundle.signature-malformed"),
        (b"\x30\x03\x1f\x81\x00", "bundle.signature-malformed"),
        (b"\x30\x02\x00\x00", "bundle.signature-malformed"),
        (b"-----BEGIN CMS-----\n", "bundle.signature-malformed"),
    ],
)
def test_only_der_is_let_through(data: bytes, code: str) -> None:
    with pytest.raises(BundleError) as caught:
        require_der(data)
    assert caught.value.code == code


def test_deep_nesting_is_refused() -> None:
    data = b"\x05\x00"
    for _ in range(40):
        data = b"\x30" + bytes([len(data)]) + data
    with pytest.raises(BundleError):
        require_der(data)
