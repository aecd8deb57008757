"""The outer CMS of encrypted bundles: who can open it, and what nobody can."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from asn1crypto import cms as asn1
from hypothesis import given, settings
from hypothesis import strategies as st
from pki.build import shared_pki
from support.tampering import flipped

from agent.bundle.enveloped import RecipientKey, is_enveloped, open_enveloped, recipients
from agent.bundler.envelope import envelop
from agent.errors import BundleError

PKI = shared_pki()
SECRET = b"\x30\x82\x01\x00" + bytes(range(256))
RSA, CURVE = ("rsa2048", "rsa4096"), ("good", "p384", "p521")
EVERYBODY = (*RSA, *CURVE)
CLOSED = envelop(SECRET, [PKI.signer(name).certificate for name in EVERYBODY])


def opened_by(name: str, cms: bytes = CLOSED, *, named: bool = True) -> bytes:
    identity = PKI.signer(name)
    return open_enveloped(cms, [RecipientKey(identity.key, identity.certificate if named else None)])  # type: ignore[arg-type]


def code_of(cms: bytes, *names: str) -> str:
    with pytest.raises(BundleError) as caught:
        open_enveloped(cms, [RecipientKey(PKI.signer(name).key) for name in names or ("good",)])  # type: ignore[arg-type]
    return caught.value.code


def openssl(tmp_path: Path, *argv: str | Path) -> bytes:
    return subprocess.run(["openssl", "cms", *map(str, argv)], cwd=tmp_path, check=True, capture_output=True).stdout


@pytest.mark.parametrize("named", [True, False], ids=["by certificate", "by trying"])
@pytest.mark.parametrize("name", EVERYBODY)
def test_each_recipient_opens_it_with_its_own_key(name: str, named: bool) -> None:
    assert opened_by(name, named=named) == SECRET


@pytest.mark.parametrize("name", EVERYBODY)
def test_openssl_opens_what_we_closed(name: str, tmp_path: Path) -> None:
    certificate, key = PKI.signer(name).write(tmp_path)
    (tmp_path / "closed").write_bytes(CLOSED)
    asked = ("-decrypt", "-binary", "-inform", "DER", "-in", "closed", "-inkey", key)
    assert openssl(tmp_path, *asked, "-recip", certificate) == SECRET
    assert openssl(tmp_path, *asked) == SECRET


OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{f"rsa {cipher}": ("rsa2048", (f"-{cipher}",)) for cipher in ("aes128", "aes192", "aes256")},
    "rsa by key identifier": ("rsa2048", ("-aes256", "-keyid")),
    "rsa oaep": ("rsa4096", ("-aes256", "-keyopt", "rsa_padding_mode:oaep")),
    "rsa oaep sha256": ("rsa4096", ("-aes256", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")),
    **{f"{name} as rauc": (name, ("-aes256",)) for name in CURVE},
    "p256 by key identifier": ("good", ("-aes256", "-keyid")),
    "p384 aes128": ("p384", ("-aes128",)),
    **{f"p256 {digest}": ("good", ("-aes256", "-keyopt", f"ecdh_kdf_md:{digest}")) for digest in ("sha256", "sha512")},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_we_open_what_openssl_closed(case: str, tmp_path: Path) -> None:
    name, options = OPTIONS[case]
    certificate, _ = PKI.signer(name).write(tmp_path)
    (tmp_path / "secret").write_bytes(SECRET)
    cipher = tuple(each for each in options if each.startswith("-aes") or each == "-keyid")
    closed = openssl(
        tmp_path, "-encrypt", "-binary", "-outform", "DER", "-in", "secret", *cipher,
        "-recip", certificate, *options[len(cipher) :],
    )  # fmt: skip
    assert opened_by(name, closed, named=True) == SECRET
    assert opened_by(name, closed, named=False) == SECRET


@pytest.mark.req("T09")
@pytest.mark.parametrize("name", ["good-2", "rsa-root"])
def test_nobody_else_opens_it(name: str) -> None:
    assert code_of(CLOSED, name) == "bundle.recipient"


@pytest.mark.parametrize("name", ["good", "rsa2048"])
def test_a_certificate_limits_the_search_to_its_own_entry(name: str) -> None:
    stranger = PKI.signer("good-2" if name == "good" else "rsa-root")
    with pytest.raises(BundleError, match="no key of this device") as caught:
        open_enveloped(CLOSED, [RecipientKey(PKI.signer(name).key, stranger.certificate)])  # type: ignore[arg-type]
    assert caught.value.code == "bundle.recipient"


def test_the_second_key_is_tried_too() -> None:
    keys = [RecipientKey(PKI.signer(name).key) for name in ("good-2", "good")]  # type: ignore[arg-type]
    assert open_enveloped(CLOSED, keys) == SECRET


def test_the_recipients_are_told() -> None:
    found = recipients(CLOSED)
    assert sorted(each.kind for each in found) == ["EC"] * 3 + ["RSA"] * 2
    assert {each.serial for each in found} == {f"{PKI.signer(name).certificate.serial_number:x}" for name in EVERYBODY}


def changed(change: object) -> bytes:
    outer = asn1.ContentInfo.load(CLOSED)
    change(outer["content"])  # type: ignore[operator]
    return outer.copy().dump(force=True)


def without_content(data: asn1.EnvelopedData) -> None:
    del data["encrypted_content_info"]["encrypted_content"]


def other_content(data: asn1.EnvelopedData) -> None:
    data["encrypted_content_info"]["content_type"] = "signed_data"


def half_a_block(data: asn1.EnvelopedData) -> None:
    data["encrypted_content_info"]["encrypted_content"] = bytes(17)


def no_recipients(data: asn1.EnvelopedData) -> None:
    data["recipient_infos"] = []


@pytest.mark.parametrize("change", [without_content, other_content, half_a_block, no_recipients])
def test_what_breaks_the_format_is_malformed(change: object) -> None:
    assert code_of(changed(change)) == "bundle.signature-malformed"


@pytest.mark.parametrize(
    "cms", [b"", b"\x30\x00", CLOSED[:-1], b"-----BEGIN CMS-----\n"], ids=["empty", "bare", "cut", "pem"]
)
def test_what_is_no_message_is_malformed(cms: bytes) -> None:
    assert code_of(cms) == "bundle.signature-malformed"


def test_bytes_after_the_message_are_refused() -> None:
    assert code_of(CLOSED + b"\0") == "bundle.trailing-data"


def test_an_old_cipher_is_refused_by_name(tmp_path: Path) -> None:
    certificate, _ = PKI.signer("good").write(tmp_path)
    (tmp_path / "secret").write_bytes(SECRET)
    weak = openssl(tmp_path, "-encrypt", "-binary", "-outform", "DER", "-in", "secret", "-des3", "-recip", certificate)
    assert code_of(weak) == "bundle.signature-unsupported"


@pytest.mark.req("T16")
@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(CLOSED) - 1), st.integers(1, 255))
def test_no_changed_byte_opens_to_anything_that_is_not_refused_or_the_secret(position: int, mask: int) -> None:
    """AES-CBC does not authenticate: garbage may come out, and the signature inside is what refuses it."""
    cms = flipped(CLOSED, position, mask)
    known = {"bundle.signature-malformed", "bundle.trailing-data", "bundle.recipient", "bundle.signature-unsupported"}
    code = ""
    try:
        if is_enveloped(cms):
            assert isinstance(opened_by("good", cms), bytes)
    except BundleError as error:
        code = error.code
    assert code in {"", *known}
