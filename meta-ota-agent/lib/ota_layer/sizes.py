"""Sizes as people write them: ``512M``, and offsets as dd(1) takes them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_DD_UNITS = {"": 1, "c": 1, "w": 2, "b": 512, "kB": 1000, "MB": 1000**2, "GB": 1000**3, **_UNITS}
_NUMBER = re.compile(r"([0-9]+)([A-Za-z]*)")


def size(text: str) -> int:
    """The bytes of a text such as ``512M``; wic takes the same units.

    Raises:
        ValueError: it is none.
    """
    return _parsed(text, _UNITS, "a size such as 512M")


def offset(text: str) -> int:
    """The bytes of an offset such as ``+8K`` or ``-512``, with the units of dd(1).

    Raises:
        ValueError: it is none.
    """
    sign, rest = (text[0], text[1:]) if text[:1] in ("+", "-") else ("+", text)
    found = _parsed(rest or "0", _DD_UNITS, "an offset such as 8K")
    return -found if sign == "-" else found


def _parsed(text: str, units: dict[str, int], expected: str) -> int:
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found[2] not in units:
        raise ValueError(f"expected {expected}, got {text!r}")
    return int(found[1]) * units[found[2]]
