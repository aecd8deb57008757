"""No byte of a SignedData is passed over: every element is one that RFC 5652 has at that place.

asn1crypto reads what it knows and is silent about the rest: a second element inside of an explicit tag, or one after the
last field. Nothing signs those bytes, and other readers (OpenSSL) refuse them. So the tags of each level are held against
the standard first. What is inside of certificates and names is read strictly by the library that judges them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.bundle.der import Element, elements, malformed

_ALGORITHM = rb"\x06.?"  # an identifier, and parameters of any kind
_SIGNED_DATA = rb"\x02\x31\x30\xa0?\xa1?\x31"
_SIGNER = rb"\x02[\x30\x80]\x30\xa0?\x30\x04\xa1?"
_PSS = rb"\xa0?\xa1?\xa2?\xa3?"  # RFC 4055 section 3.1


def require_shape(cms: bytes) -> None:
    """Checks the levels of a SignedData down to certificates, names and attributes.

    Args:
        cms: a ContentInfo that passed ``require_der``.

    Raises:
        BundleError: ``bundle.signature-malformed``.
    """
    (top,) = elements(cms)
    _kind, wrapped = _within(cms, top, rb"\x06\xa0", "ContentInfo")
    (data,) = _within(cms, wrapped, rb"\x30", "the content of ContentInfo")
    fields = _within(cms, data, _SIGNED_DATA, "SignedData")
    for each in elements(cms, fields[1]):
        _within(cms, each, _ALGORITHM, "a digest algorithm")
    for each in _within(cms, fields[2], rb"\x06\xa0?", "the signed content")[1:]:
        _within(cms, each, rb"\x04", "the signed content")
    for each in elements(cms, fields[-1]):
        _check_signer(cms, each)


def _check_signer(cms: bytes, signer: Element) -> None:
    fields = _within(cms, signer, _SIGNER, "SignerInfo")
    if fields[1].tag == 0x30:
        _within(cms, fields[1], rb"\x30\x02", "the name of the signer")
    _within(cms, fields[2], _ALGORITHM, "the digest algorithm")
    scheme = next(each for each in fields[3:] if each.tag == 0x30)
    for parameters in _within(cms, scheme, _ALGORITHM, "the signature algorithm")[1:]:
        if parameters.tag == 0x30:
            for each in _within(cms, parameters, _PSS, "the parameters of RSA-PSS"):
                _within(cms, each, rb".", "a parameter of RSA-PSS")


def _within(cms: bytes, element: Element, tags: bytes, what: str) -> Sequence[Element]:
    found = elements(cms, element)
    if not re.fullmatch(tags, bytes(each.tag for each in found), re.DOTALL):
        raise malformed(f"{what} at byte {element.start} holds elements that have no place there")
    return found
