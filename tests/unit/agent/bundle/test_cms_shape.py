"""Bytes that no signature covers and that some readers pass over have no place in a SignedData."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.mutate import Element, parse_der
from pki.build import shared_pki
from support.signing import signed
from support.tampering import openssl_cms

from agent.bundle.cms import check_signature, parse_signed_data
from agent.errors import BundleError

pytestmark = pytest.mark.req("T09", "T16")

CONTENT = b"[update]\ncompatible=x\n"
HIDDEN = Element(0x04, b"hidden")


class Message:
    """A valid message by the names of its parts."""

    def __init__(self, der: bytes) -> None:
        (self.top,) = parse_der(der)
        self.wrapped = self.inner(self.top)[1]
        self.data = self.inner(self.wrapped)[0]
        self.version, self.digests, self.encapsulated, *self.certificates, self.signers = self.inner(self.data)
        self.signer = self.inner(self.signers)[0]
        self.named, self.digest, self.attributes, self.scheme, self.signature = self.inner(self.signer)[1:6]

    @staticmethod
    def inner(element: Element) -> list[Element]:
        assert element.children is not None
        return element.children

    def hide_in(self, *path: Element) -> None:
        self.inner(path[-1]).append(HIDDEN)


HIDING: dict[str, Callable[[Message], None]] = {
    "after the SignedData": lambda it: it.hide_in(it.wrapped),
    "after the content": lambda it: it.hide_in(it.inner(it.encapsulated)[1]),
    "after the encapsulated content": lambda it: it.hide_in(it.encapsulated),
    "after the signers": lambda it: it.hide_in(it.data),
    "after the signature": lambda it: it.hide_in(it.signer),
    "after the name of the signer": lambda it: it.hide_in(it.named),
    "in the listed digest": lambda it: it.inner(it.inner(it.digests)[0]).extend([Element(0x05), HIDDEN]),
    "in the digest of the signer": lambda it: it.inner(it.digest).extend([Element(0x05), HIDDEN]),
    "as parameters of ECDSA": lambda it: it.hide_in(it.scheme),
    "after parameters of ECDSA": lambda it: it.inner(it.scheme).extend([Element(0x05), HIDDEN]),
}


@pytest.mark.parametrize("place", HIDING)
def test_nothing_can_be_hidden(place: str) -> None:
    message = Message(signed(CONTENT, shared_pki().signer("good")))
    check_signature(parse_signed_data(message.top.dump()))
    HIDING[place](message)
    with pytest.raises(BundleError) as caught:
        parse_signed_data(message.top.dump())
    assert caught.value.code == "bundle.signature-malformed"


@pytest.mark.parametrize("where", [0, 1, 2])
def test_nothing_can_be_hidden_in_the_parameters_of_rsa_pss(where: int) -> None:
    options = ("rsa_padding_mode:pss", "rsa_pss_saltlen:digest")
    message = Message(openssl_cms(CONTENT, shared_pki().signer("rsa2048"), key_options=options))
    check_signature(parse_signed_data(message.top.dump()))
    parameters = message.inner(message.scheme)[1]
    message.hide_in([parameters, message.inner(parameters)[0], message.inner(parameters)[1]][where])
    with pytest.raises(BundleError) as caught:
        parse_signed_data(message.top.dump())
    assert caught.value.code == "bundle.signature-malformed"


@pytest.mark.parametrize("place", [place for place in HIDING if "ECDSA" not in place])
def test_openssl_refuses_them_too(place: str, tmp_path: Path) -> None:
    message = Message(signed(CONTENT, shared_pki().signer("good")))
    for name in ("good", "hidden"):
        (tmp_path / name).write_bytes(message.top.dump())
        argv = ["openssl", "cms", "-verify", "-noverify", "-inform", "DER", "-in", name, "-out", "content"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) is (name == "good"), done.stderr
        if name == "good":
            HIDING[place](message)


def test_unsigned_attributes_prove_nothing_and_are_allowed() -> None:
    message = Message(signed(CONTENT, shared_pki().signer("good")))
    attribute = Element(0x30, children=[Element(0x06, b"\x2a\x03"), Element(0x31, children=[Element(0x05)])])
    message.inner(message.signer).append(Element(0xA1, children=[attribute]))
    found = parse_signed_data(message.top.dump())
    check_signature(found)
    assert found.content == CONTENT
