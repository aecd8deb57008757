"""Which signatures are understood, attached and detached: the verdict of ``openssl`` and ``rauc``, or a reason.

An attached one carries the manifest of a verity bundle, a detached one covers the payload of a plain bundle.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from asn1crypto import cms as asn1
from asn1crypto import core
from pki.build import shared_pki
from support.bundles import make_bundle
from support.judges import Setting, openssl_accepts, our_verdict, rauc_accepts
from support.signing import signed, signed_by_another_key
from support.tampering import Parts, flipped, openssl_cms, parts_of

from agent.bundle.cms import parse_signed_data

PKI = shared_pki()
SHA256 = ("-md", "sha256")
Make = Callable[[bytes, bool], bytes]

MALFORMED, INVALID, WEAK = "bundle.signature-malformed", "bundle.signature-invalid", "bundle.signature-weak"


@dataclass(frozen=True)
class Case:
    """A way to sign, and our verdict.

    Args:
        make: signs the data; told whether the signature is detached.
        code: of our refusal of an attached signature; empty: accepted.
        detached: the code for a detached one, where it is another.
        openssl: why openssl accepts what we refuse; empty: it gives our verdict.
        rauc: the same for rauc.
        kinds: the kinds of signature that the case is about.
    """

    make: Make
    code: str = ""
    detached: str = ""
    openssl: str = ""
    rauc: str = ""
    kinds: tuple[str, ...] = ("attached", "detached")


def by(name: str, *options: str, key_options: tuple[str, ...] = ()) -> Make:
    def make(data: bytes, detached: bool) -> bytes:
        return openssl_cms(
            data, PKI.signer(name), detached=detached, options=options or SHA256, key_options=key_options
        )

    return make


def by_two(data: bytes, detached: bool) -> bytes:
    return openssl_cms(data, PKI.signer("good"), PKI.signer("good-2"), detached=detached)


def by_a_trusted_one_and_a_stranger(data: bytes, detached: bool) -> bytes:
    return openssl_cms(data, PKI.signer("good"), PKI.signer("other"), detached=detached)


def by_the_builder(data: bytes, detached: bool) -> bytes:
    return signed(data, PKI.signer("good-intermediate"), detached=detached)


def under_the_certificate_of_another(data: bytes, detached: bool) -> bytes:
    return signed_by_another_key(data, PKI.signer("good"), PKI.signer("good-2"), detached=detached)


def then(change: Callable[[bytes], bytes]) -> Make:
    """Well signed, and then changed."""
    return lambda data, detached: change(by("good")(data, detached))


def rewritten(change: Callable[[asn1.SignedData], None]) -> Make:
    """Well signed, then taken apart, changed and encoded again."""

    def make(data: bytes, detached: bool) -> bytes:
        info = asn1.ContentInfo.load(by("good")(data, detached))
        change(info["content"])
        return bytes(info.dump(force=True))

    return make


def attribute_changed(data: asn1.SignedData) -> None:
    for attribute in data["signer_infos"][0]["signed_attrs"]:
        if attribute["type"].native == "message_digest":
            attribute["values"] = [bytes(32)]


def no_signer(data: asn1.SignedData) -> None:
    data["signer_infos"] = []


def unsigned_attribute(data: asn1.SignedData) -> None:
    data["signer_infos"][0]["unsigned_attrs"] = [{"type": "1.3.6.1.4.1.99999.3", "values": [core.Null()]}]


def content_changed(data: bytes, detached: bool) -> bytes:
    if detached:
        return by("good")(flipped(data, len(data) // 2), detached)
    return by("good")(data, detached).replace(b"compatible=demo-board", b"compatible=demo-bread")


def confused(data: bytes, detached: bool) -> bytes:
    return by("good")(data, not detached)


def openssl_made(*argv: str) -> Make:
    def make(data: bytes, _detached: bool) -> bytes:
        command = ["openssl", "cms", "-outform", "DER", "-binary", *argv]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    return make


def enveloped(data: bytes, _detached: bool) -> bytes:
    return openssl_made("-encrypt", "-aes256", "-secretkey", "00" * 32, "-secretkeyid", "01")(data, False)


NO_FLOOR = "no floor for digests and keys"
NO_ATTRIBUTES = "signs the content directly; the attributes are what protects against taking one for the other"
KIND = "does not look at the content type"
TRAILING = "reads the first structure and ignores what follows"
BER = "reads BER; here a signature has one encoding only"
SEVERAL = "accepts any number of good signers"
INSIDE = "takes the content that is inside, whatever lies beside it"
MASK = "accepts any digest for the mask of RSA-PSS"

CASES: dict[str, Case] = {
    "sha256": Case(by("good")),
    "sha384": Case(by("good", "-md", "sha384")),
    "sha512": Case(by("good", "-md", "sha512")),
    "p384": Case(by("p384", "-md", "sha384")),
    "p521": Case(by("p521", "-md", "sha512")),
    "rsa2048": Case(by("rsa2048")),
    "rsa4096": Case(by("rsa4096", "-md", "sha512")),
    "rsa-pss": Case(by("rsa2048", key_options=("rsa_padding_mode:pss", "rsa_pss_saltlen:digest"))),
    "key-identifier": Case(by("good", *SHA256, "-keyid")),
    "intermediate": Case(by("good-intermediate")),
    "our-builder": Case(by_the_builder),
    "unsigned-attribute": Case(rewritten(unsigned_attribute)),
    "content-changed": Case(content_changed, INVALID, "bundle.payload-corrupt"),
    "signature-flipped": Case(then(lambda cms: flipped(cms, -3)), INVALID),
    "attribute-changed": Case(rewritten(attribute_changed), INVALID),
    "another-key": Case(under_the_certificate_of_another, INVALID),
    "no-signer": Case(rewritten(no_signer), "bundle.unsigned"),
    "no-certificates": Case(by("good", *SHA256, "-nocerts"), "bundle.signers"),
    "truncated": Case(then(lambda cms: cms[:-1]), MALFORMED),
    "half": Case(then(lambda cms: cms[: len(cms) // 2]), MALFORMED),
    "no-cms": Case(lambda data, detached: b"\x30\x03\x02\x01\x01", MALFORMED),
    "detached-for-attached": Case(confused, "bundle.payload-corrupt", kinds=("attached",)),
    "attached-for-detached": Case(confused, "bundle.manifest-invalid", openssl=INSIDE, kinds=("detached",)),
    "enveloped": Case(enveloped, "bundle.encrypted"),
    "digested": Case(openssl_made("-digest_create"), MALFORMED),
    "plain-data": Case(openssl_made("-data_create"), MALFORMED),
    "two-signers": Case(by_two, "bundle.signers", openssl=SEVERAL),
    "a-signer-and-a-stranger": Case(by_a_trusted_one_and_a_stranger, "bundle.signers"),
    "sha1": Case(by("good", "-md", "sha1"), WEAK, openssl=NO_FLOOR, rauc=NO_FLOOR),
    "sha224": Case(by("good", "-md", "sha224"), WEAK, openssl=NO_FLOOR, rauc=NO_FLOOR),
    "md5": Case(by("rsa2048", "-md", "md5"), WEAK, openssl=NO_FLOOR, rauc=NO_FLOOR),
    "sha512-256": Case(
        by("rsa2048", "-md", "sha512-256"), "bundle.signature-unsupported", openssl=NO_FLOOR, rauc=NO_FLOOR
    ),
    "rsa1024": Case(by("rsa1024"), WEAK, openssl=NO_FLOOR, rauc=NO_FLOOR),
    "p224": Case(by("p224"), WEAK, openssl=NO_FLOOR, rauc=NO_FLOOR),
    "no-signed-attributes": Case(by("good", *SHA256, "-noattr"), MALFORMED, openssl=NO_ATTRIBUTES, rauc=NO_ATTRIBUTES),
    "content-type": Case(by("good", *SHA256, "-econtent_type", "1.2.3.4"), MALFORMED, openssl=KIND, rauc=KIND),
    "trailing-byte": Case(then(lambda cms: cms + b"\0"), "bundle.trailing-data", openssl=TRAILING, rauc=TRAILING),
    "indefinite-length": Case(by("good", *SHA256, "-stream"), MALFORMED, openssl=BER, rauc=BER, kinds=("attached",)),
    "indefinite-length-detached": Case(by("good", *SHA256, "-stream"), MALFORMED, openssl=BER, kinds=("detached",)),
    "rsa-pss-sha1-mask": Case(
        by("rsa2048", key_options=("rsa_padding_mode:pss", "rsa_mgf1_md:sha1")), WEAK, openssl=MASK, rauc=MASK
    ),
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parts]:
    folder = tmp_path_factory.mktemp("good")
    return {kind: parts_of(make_bundle(folder, image=b"image" * 1000, format=kind)) for kind in ("verity", "plain")}


@pytest.mark.req("S04", "T09")
@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, case in CASES.items() for kind in case.kinds])
def test_a_signature_gets_the_verdict_of_openssl_and_rauc_unless_a_reason_is_given(
    name: str, kind: str, bundles: dict[str, Parts], tmp_path: Path
) -> None:
    case, detached, setting = CASES[name], kind == "detached", Setting()
    parts = bundles["plain" if detached else "verity"]
    data = parts.payload if detached else parse_signed_data(parts.cms).content
    assert data is not None
    bundle = tmp_path / "case.raucb"
    bundle.write_bytes(Parts(parts.payload, case.make(data, detached)).joined())
    keyring = setting.write(PKI, tmp_path)
    ours = our_verdict(bundle, keyring, setting, PKI)
    assert ours == ((detached and case.detached) or case.code)
    theirs = (openssl_accepts(bundle, keyring, setting, PKI, detached=detached), rauc_accepts(bundle, keyring, setting))
    assert theirs == (not ours or bool(case.openssl), not ours or bool(case.rauc))
