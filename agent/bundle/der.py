"""Strict DER, checked before any parser looks at it.

ASN.1 parsers are lenient in different ways (indefinite lengths, padded lengths, strings in pieces, bytes after the
end), and what two of them understand differently can be signed by one meaning and used by another. So the whole
structure is walked once: only the one encoding that X.690 section 10 allows goes through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from agent.errors import BundleError

_MAX_DEPTH = 32  # a CMS with certificates nests about 15 deep
_MAX_OID = 64  # bytes; decoding takes time with the square of the length, and the library stops at 63
_CONSTRUCTED = 0x20
_OID = 0x06
_UNIVERSAL_CONSTRUCTED = frozenset({0x30, 0x31, 0x28, 0x2B})  # SEQUENCE, SET, EXTERNAL, EMBEDDED PDV

_P = ParamSpec("_P")
_R = TypeVar("_R")


def boundary(parse: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turns whatever a parser raises on hostile bytes into a refusal."""

    @wraps(parse)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return parse(*args, **kwargs)
        except (BundleError, MemoryError):  # too little memory is no fault of the bundle
            raise
        except Exception as error:  # the parsers raise anything on hostile bytes; all of it is a refusal
            raise malformed(f"{type(error).__name__}: {error}"[:300]) from error

    return guarded


def require_der(data: bytes) -> None:
    """Checks that ``data`` is exactly one DER element, inside and out.

    Raises:
        BundleError: ``bundle.trailing-data`` for bytes after the element, ``bundle.signature-malformed`` for the rest.
    """
    if data[:1] != b"\x30":
        raise malformed("it does not start with a SEQUENCE")
    _, end = _header(data, 0, len(data))
    if end != len(data):
        raise BundleError(
            "bundle.trailing-data",
            "there are bytes after the end of the signature",
            details=f"the signature ends after {end} of {len(data)} bytes",
            resolution="build the bundle again; a correct tool leaves nothing there",
        )
    ends = [len(data)]
    position = 0
    while ends:
        if position == ends[-1]:
            ends.pop()
            continue
        content, end = _header(data, position, ends[-1])
        if data[position] == _OID and end - content > _MAX_OID:
            raise malformed(f"the object identifier at byte {position} has {end - content} bytes")
        if data[position] & _CONSTRUCTED:
            if len(ends) >= _MAX_DEPTH:
                raise malformed("it is nested too deeply")
            ends.append(end)
            position = content
        else:
            position = end


@dataclass(frozen=True, slots=True)
class Element:
    """An element of DER: its tag, and where its content lies."""

    tag: int
    start: int
    end: int


def elements(data: bytes, within: Element | None = None) -> list[Element]:
    """Lists the elements of ``data``, or those inside of one of them; raises as ``require_der``."""
    position, end = (0, len(data)) if within is None else (within.start, within.end)
    found: list[Element] = []
    while position < end:
        content, after = _header(data, position, end)
        found.append(Element(data[position], content, after))
        position = after
    return found


def malformed(why: str) -> BundleError:
    """The refusal of a signature that cannot be understood."""
    return BundleError(
        "bundle.signature-malformed",
        "the signature of the bundle cannot be understood",
        details=why,
        resolution="transfer or build the bundle again; it must carry a CMS SignedData in DER",
    )


def _header(data: bytes, position: int, limit: int) -> tuple[int, int]:
    """Reads one tag and length; returns where the content starts and where it ends."""
    if position + 2 > limit:
        raise malformed(f"it ends in the middle of an element at byte {position}")
    tag, length = data[position], data[position + 1]
    if tag & 0xDF == 0 or tag & 0x1F == 0x1F:  # end-of-contents, or a number of several bytes
        raise malformed(f"the tag 0x{tag:02x} at byte {position} has no place in it")
    if tag & 0xC0 == 0 and bool(tag & _CONSTRUCTED) and tag not in _UNIVERSAL_CONSTRUCTED:
        raise malformed(f"a string in pieces at byte {position} is not DER")
    content = position + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or content + count > limit:
            raise malformed(f"the length at byte {position + 1} is indefinite or too large")
        length = int.from_bytes(data[content : content + count], "big")
        if length < 0x80 or length >> 8 * (count - 1) == 0:
            raise malformed(f"the length at byte {position + 1} is not in its shortest form")
        content += count
    if content + length > limit:
        raise malformed(f"the element at byte {position} is longer than what is there")
    return content, content + length
