"""Reads JSON that a server wrote, without trusting it.

Sizes, depths, counts and characters are bounded; every deviation raises one and the same error. Fields that we do not
know are ignored, and a lone value stands for a list of one, because hawkBit allows both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent.errors import EnvironmentFault

MAX_DOCUMENT = 1024 * 1024  # bytes; a deployment with metadata is a few KiB
MAX_NAME = 512  # characters; hawkBit: names 128, versions 64, file names 256
Object = Mapping[str, object]


def invalid(details: str) -> EnvironmentFault:
    """Returns the error ``ddi.invalid-document``; ``details`` must not quote the document at length."""
    return EnvironmentFault(
        "ddi.invalid-document",
        "the server's answer makes no sense",
        details=details[:300],
        resolution="check that the configured address is a hawkBit compatible server",
    )


def load(data: bytes) -> Object:
    """Parses a body.

    Raises:
        EnvironmentFault: ``ddi.invalid-document`` when it is over 1 MiB, no JSON, or no object.
    """
    if len(data) > MAX_DOCUMENT:
        raise invalid(f"{len(data)} bytes are too many")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise invalid("it is no JSON") from error
    if not isinstance(value, dict):
        raise invalid("it is no JSON object")
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON (RFC 8259, section 6)")


def mapping(parent: Object, key: str) -> Object:
    """An object field; an absent or null one is empty."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"{key} is no object")
    return value


def objects(parent: Object, key: str, most: int) -> tuple[Object, ...]:
    """A list of objects; a lone object counts as a list of one.

    Args:
        parent: where the field is.
        key: its name.
        most: more entries than this are refused.
    """
    value = parent.get(key)
    if value is None:
        return ()
    entries = value if isinstance(value, list) else [value]
    if len(entries) > most:
        raise invalid(f"{key} has {len(entries)} entries, more than {most}")
    for entry in entries:
        if not isinstance(entry, dict):
            raise invalid(f"{key} has an entry that is no object")
    return tuple(entries)


def text(parent: Object, key: str, most: int = MAX_NAME, *, lines: bool = False) -> str | None:
    """A text field without control characters; None when absent or null.

    Args:
        parent: where the field is.
        key: its name.
        most: longer values, in characters, are refused.
        lines: tabs and line breaks are allowed.
    """
    value = parent.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(f"{key} is no text")
    return clean(value, key, most, lines=lines)


def clean(value: str, what: str, most: int, *, lines: bool = False) -> str:
    """Returns ``value`` when it is short enough and safe to print and to encode, else raises."""
    if len(value) > most:
        raise invalid(f"{what} has {len(value)} characters, more than {most}")
    for character in value:
        number = ord(character)
        control = number < 0x20 or 0x7F <= number < 0xA0
        if (control and not (lines and character in "\t\r\n")) or 0xD800 <= number < 0xE000:
            raise invalid(f"{what} has a character that is not allowed (U+{number:04X})")
    return value


def needed(parent: Object, key: str, most: int = MAX_NAME) -> str:
    """A text field that must be there and not be empty."""
    value = text(parent, key, most)
    if not value:
        raise invalid(f"{key} is missing")
    return value


def size(parent: Object, key: str, most: int) -> int:
    """A field that must hold a whole number from 0 to ``most``."""
    value = parent.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise invalid(f"{key} is no number from 0 to {most}")
    return value
