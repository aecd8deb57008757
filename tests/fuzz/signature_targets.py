"""Targets of what comes before trust: the trailer, DER, the signature, its certificates, the envelope, the keyring."""

from __future__ import annotations

import functools
import os
import random
import re
from base64 import b64decode, encodebytes

from cryptography.hazmat.primitives.serialization import Encoding
from pki.build import pem, shared_pki
from pki.crls import crl_pem
from support.bundles import trust_in
from support.signing import signed
from support.sources import MemorySource
from support.tampering import openssl_cms

from agent.bundle.cms import check_signature, is_detached, parse_signed_data
from agent.bundle.der import require_der
from agent.bundle.enveloped import RecipientKey, open_enveloped, recipients
from agent.bundle.keyring import load_keyring
from agent.bundle.layout import CachedTail, read_trailer
from agent.bundle.trust import check_chain
from agent.bundler.envelope import envelop
from agent.errors import BundleError, ConfigError
from fuzz.mutate import by_lines, change_bytes, change_der, either, parse_der
from fuzz.target import Target

CONTENT = b"[update]\ncompatible=x\n"


@functools.cache
def trailers() -> list[bytes]:
    return [
        b"p" * payload + b"s" * size + size.to_bytes(8, "big")
        for payload, size in ((0, 1), (5000, 1000), (3, 16_376), (3, 16_377), (0, 40_000))
    ] + [bytes(100), b""]


def run_trailer(data: bytes) -> None:
    source = MemorySource(data)
    found = read_trailer(source)
    assert len(source.requests) <= 2
    assert data == data[: found.payload_size] + found.cms + len(found.cms).to_bytes(8, "big")
    cached = CachedTail(source, found.tail)
    for offset in {0, found.payload_size, source.size - len(found.tail), max(0, source.size - len(found.tail) - 1)}:
        assert b"".join(cached.stream(offset, source.size - offset)) == data[offset:]


@functools.cache
def messages() -> list[bytes]:
    """Valid messages of every kind that the policy knows, by two makers."""
    pki = shared_pki()
    made = []
    for name in ("good", "good-intermediate", "p384", "rsa2048"):
        one = pki.signer(name)
        made.append(signed(CONTENT, one, detached=name == "p384"))
    made.append(openssl_cms(CONTENT, pki.signer("good"), options=("-md", "sha256", "-keyid")))
    made.append(
        openssl_cms(CONTENT, pki.signer("rsa2048"), key_options=("rsa_padding_mode:pss", "rsa_pss_saltlen:digest"))
    )
    made.append(openssl_cms(CONTENT, pki.signer("p521"), options=("-md", "sha512")))
    return made


@functools.cache
def genuine() -> frozenset[bytes]:
    return frozenset(parse_signed_data(each).attributes for each in messages())


def run_cms(data: bytes) -> None:
    """What ends as trusted says what was signed."""
    message = parse_signed_data(data)
    assert is_detached(data) == (message.content is None)
    assert repr(message)
    refused = None
    try:
        check_signature(message)
    except BundleError as error:
        refused = error
    check_chain(trust_in(), message.signer, message.others, shared_pki().now)
    if refused is not None:
        raise refused
    assert message.attributes in genuine()
    assert message.content in (None, CONTENT)  # what was attached can be taken off: then it is a detached signature


@functools.cache
def elements() -> list[bytes]:
    return [*messages(), shared_pki().root.public_bytes(Encoding.DER), b"\x30\x00", b"\x30\x05\x30\x03\x02\x01\x00"]


def run_der(data: bytes) -> None:
    """What is let through has exactly one encoding: taken apart and put together it is the same."""
    require_der(data)
    assert b"".join(each.dump() for each in parse_der(data)) == data


@functools.cache
def envelopes() -> list[bytes]:
    pki = shared_pki()
    certificates = [pki.signer(name).certificate for name in ("rsa2048", "good", "p384")]
    return [envelop(messages()[0], each) for each in (certificates, certificates[:1], certificates[1:2])]


@functools.cache
def recipient_keys() -> tuple[RecipientKey, ...]:
    pki = shared_pki()
    named, unnamed = pki.signer("good"), pki.signer("rsa2048")
    return RecipientKey(named.key, named.certificate), RecipientKey(unnamed.key)  # type: ignore[arg-type]


def run_enveloped(data: bytes) -> None:
    listed = recipients(data)
    assert all(len(str(each)) < 300_000 for each in listed)
    assert open_enveloped(data, recipient_keys())[:1] == b"\x30"


@functools.cache
def keyrings() -> list[bytes]:
    pki = shared_pki()
    names = (("root",), ("root", "intermediate"), ("rsa-root",), ("evil-root", "root", "p521", "ed25519"))
    lists = (("root", "intermediate"), ("intermediate", "root-with-reason"), ("root-part", "intermediate", "root"))
    made = [b"".join(pem(pki.signer(name).certificate) for name in each) for each in names]
    return made + [made[0] + crl_pem(pki, *each) for each in lists]


def run_keyring(data: bytes) -> None:
    fd = os.memfd_create("keyring")
    try:
        os.write(fd, data)
        trust = load_keyring(f"/proc/self/fd/{fd}", check_crl=b"X509 CRL" in data)
    finally:
        os.close(fd)
    assert trust.anchors
    one = shared_pki().signer("good-intermediate")
    check_chain(trust, one.certificate, one.intermediates, shared_pki().now)


def change_blocks(data: bytes, chooser: random.Random) -> bytes:
    """Changes the DER within one of the PEM blocks."""
    blocks = list(re.finditer(rb"-----BEGIN [A-Z0-9 ]+-----\n([A-Za-z0-9+/=\n]+)-----END ", data))
    if not blocks:
        return change_bytes(data, chooser)
    block = chooser.choice(blocks)
    try:
        inner = encodebytes(change_der(b64decode(block[1]), chooser))
    except ValueError:
        return change_bytes(data, chooser)
    return data[: block.start(1)] + inner + data[block.end(1) :]


_PEM = by_lines(
    (b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----", b"-----BEGIN X509 CRL-----", b"====", b"")
)

TARGETS = (
    Target("trailer", trailers, run_trailer, (BundleError,), change_bytes, share=0.5),
    Target("der", elements, run_der, (BundleError,), either(change_bytes, change_der), share=1.5),
    Target("cms", messages, run_cms, (BundleError,), change_der, seconds=2, share=5, smoke=0.5),
    Target("enveloped", envelopes, run_enveloped, (BundleError,), change_der, seconds=4, share=3, smoke=0.5),
    Target(
        "keyring",
        keyrings,
        run_keyring,
        (ConfigError, BundleError),
        either(change_blocks, change_blocks, _PEM),
        share=1,
        smoke=0.25,
    ),
)
