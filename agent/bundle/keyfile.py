r"""The grammar of a manifest: groups of ``key=value`` lines, as GLib's GKeyFile reads them.

Groups of the same name are one group. A key that appears twice in a group is an error, as in RAUC. Lists are separated
by semicolons. In values, ``\s \n \t \r \\`` stand for space, line feed, tab, carriage return and backslash.
What the groups and keys mean is told in ``manifest.py``.

Whatever is read here, GLib reads in the same way. Some of what GLib reads is refused, because its meaning depends on the
reader or is no text: bytes that are not UTF-8, control characters, keys with a locale (``key[de]``, which GLib keeps or
drops as ``LANG`` says), empty values, and ``\;`` in lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agent.errors import BundleError

MAX_SIZE = 64 * 1024  # bytes; the signature that carries a manifest is capped at the same size by RAUC

_SPACES = " \t\n\f\r"  # g_ascii_isspace
_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_ESCAPE_SEQUENCE = re.compile(r"\\(.?)", re.DOTALL)
_ESCAPED = str.maketrans({"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"})


def read_keyfile(data: bytes) -> dict[str, dict[str, str]]:
    """Returns the groups in their order, each with its keys and decoded values.

    Raises:
        BundleError: ``bundle.manifest-too-large``, ``bundle.manifest-invalid``.
    """
    if len(data) > MAX_SIZE:
        raise BundleError(
            "bundle.manifest-too-large",
            "the manifest is too large",
            details=f"it has {len(data)} bytes; at most {MAX_SIZE} are allowed",
            resolution="shorten the texts in it",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(f"byte {error.start} is not UTF-8") from error
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] | None = None
    *ended, last = text.split("\n")
    lines = [*(line.removesuffix("\r") for line in ended), last]  # without a line feed, CR is no part of a line end
    for number, line in enumerate(lines, 1):
        line = line.lstrip(_SPACES)
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            group = groups.setdefault(_group_name(line, number), {})
        elif group is None:
            raise invalid(f"line {number} stands before the first [group]")
        else:
            key, value = _pair(line, number)
            if key in group:
                raise invalid(f"line {number}: the key {key!r} appears twice in its group")
            if key == "Encoding" and group is next(iter(groups.values())) and value.lower() != "utf-8":
                raise invalid(f"line {number}: the encoding {value[:80]!r} is not UTF-8")
            group[key] = value
    return groups


def write_keyfile(groups: Iterable[tuple[str, Mapping[str, str]]]) -> bytes:
    """Writes groups so that ``read_keyfile`` (and GLib) returns the same."""
    parts = []
    for name, pairs in groups:
        lines = [f"[{name}]", *(f"{key}={_escape(value)}" for key, value in pairs.items())]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts).encode("utf-8")


def split_list(value: str) -> tuple[str, ...]:
    """Splits a list; the semicolon after the last item may be missing."""
    return tuple(value.removesuffix(";").split(";")) if value else ()


def join_list(items: Iterable[str]) -> str:
    """Writes a list as GLib does, with a semicolon after each item."""
    return "".join(f"{item};" for item in items)


def invalid(details: str, resolution: str = "correct the manifest and build the bundle again") -> BundleError:
    """The refusal of a manifest."""
    return BundleError(
        "bundle.manifest-invalid",
        "the manifest of the bundle is not valid",
        details=details[:500],
        resolution=resolution,
    )


def _group_name(line: str, number: int) -> str:
    name, closed, rest = line[1:].partition("]")
    if not closed or rest.strip(" \t"):
        raise invalid(f"line {number} is no [group]")
    if not name or "[" in name or _has_control(name):
        raise invalid(f"line {number}: {name!r} is no name of a group")
    return name


def _pair(line: str, number: int) -> tuple[str, str]:
    key, equals, value = line.partition("=")
    key = key.rstrip(_SPACES)
    if not equals or not key:
        raise invalid(f"line {number} is neither a [group] nor key=value")
    if "[" in key or "]" in key or _has_control(key):
        raise invalid(
            f"line {number}: {key[:80]!r} is no name of a key; keys with a locale have no place in a manifest"
        )
    value = _unescape(value.lstrip(_SPACES), number)
    if not value:
        raise invalid(f"line {number}: the value of {key!r} is empty")
    if _has_control(value.replace("\n", "").replace("\t", "").replace("\r", "")):
        raise invalid(f"line {number}: the value of {key!r} contains a control character")
    return key, value


def _unescape(raw: str, number: int) -> str:
    def decoded(found: re.Match[str]) -> str:
        if found[1] not in _ESCAPES:
            raise invalid(f"line {number}: {found[0]!r} is no escape sequence")
        return _ESCAPES[found[1]]

    return _ESCAPE_SEQUENCE.sub(decoded, raw)


def _escape(value: str) -> str:
    text = value.translate(_ESCAPED)
    body = text.lstrip(" ")
    return "\\s" * (len(text) - len(body)) + body


def _has_control(text: str) -> bool:
    return any(ord(each) < 0x20 or ord(each) == 0x7F for each in text)
