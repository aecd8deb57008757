"""PKCS#11 URIs (RFC 7512): which library, which token, which object on it, and the PIN.

Pure: nothing is opened here. What the URI does not say is empty; what is not understood is an error, because a key that
was not meant might sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from agent.bundler.faults import BuildError

SCHEME = "pkcs11:"
MAX_LENGTH = 4096  # characters

_TOKEN = ("token", "manufacturer", "serial", "model")
_PATH = (*_TOKEN, "object", "id", "type")
_QUERY = ("pin-value", "pin-source", "module-path")
_ENCODING = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """The parts of a URI, decoded.

    Args:
        token: label of the token.
        manufacturer: of the token.
        serial: of the token.
        model: of the token.
        object: label of the key or certificate.
        id: its CKA_ID.
        type: ``private``, ``cert`` or another class of RFC 7512.
        pin_value: the PIN.
        pin_source: the file that holds it.
        module_path: the library.
    """

    token: str = ""
    manufacturer: str = ""
    serial: str = ""
    model: str = ""
    object: str = ""
    id: bytes = b""
    type: str = ""
    pin_value: str = ""
    pin_source: str = ""
    module_path: str = ""

    @property
    def without_secrets(self) -> str:
        """Names the object in messages."""
        parts = [f"{name}={getattr(self, name)}" for name in (*_TOKEN, "object", "type") if getattr(self, name)]
        return SCHEME + ";".join([*parts, *([f"id={self.id.hex()}"] if self.id else [])])


def is_uri(text: str) -> bool:
    """Says whether a key or certificate is named by a URI and not by a path."""
    return text[: len(SCHEME)].lower() == SCHEME  # RFC 3986 section 3.1: schemes are case-insensitive


def parse_uri(text: str) -> Pkcs11Uri:
    """Takes a URI apart; raises BuildError ``sign.uri-invalid``."""
    if not is_uri(text) or len(text) > MAX_LENGTH:
        raise _invalid(f"it must start with {SCHEME!r} and have at most {MAX_LENGTH} characters")
    path, _, query = text[len(SCHEME) :].partition("?")
    path_parts = _attributes(path, ";", _PATH, "before the '?'")
    query_parts = _attributes(query, "&", _QUERY, "after the '?'")
    texts = {name: _text(name, value) for name, value in {**path_parts, **query_parts}.items() if name != "id"}
    found = Pkcs11Uri(id=path_parts.get("id", b""), **{name.replace("-", "_"): value for name, value in texts.items()})
    if found.pin_value and found.pin_source:
        raise _invalid("pin-value and pin-source exclude each other")  # RFC 7512 section 2.4
    return found


def _attributes(text: str, separator: str, known: tuple[str, ...], where: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name.startswith("x-"):
            continue  # RFC 7512 section 2.3: vendors may add attributes, and others ignore them
        if not equals or name not in known:
            raise _invalid(f"{name[:40]!r} {where} is not one of {', '.join(known)}")
        if name in found:
            raise _invalid(f"{name!r} stands in it twice")
        if not _ENCODING.fullmatch(value):
            raise _invalid(f"the value of {name!r} has a '%' without two hexadecimal digits")
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(f"the value of {name!r} is not UTF-8") from error


def _invalid(why: str) -> BuildError:
    """The URI is never repeated: it may hold a PIN."""
    return BuildError(
        "sign.uri-invalid",
        "this is no PKCS#11 URI",
        details=why,
        resolution="write it as in: 'pkcs11:token=signing;object=signer;type=private?pin-source=/run/secrets/pin'",
    )
