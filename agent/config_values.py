"""The kinds of value that a setting can have: what is accepted, and how to say what was expected.

Pure: a TOML value and the directory of its file in, the value that the agent uses out. A kind refuses by
``ValueError``; its ``expected`` text, together with ``shown(raw)``, makes the message that a person reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.secret import Credential

MAX_TEXT = 4096  # PATH_MAX; nothing that is configured is longer
MAX_LIST = 64  # entries of a list: units, commands, arguments

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?")  # the portable names of useradd(8)
_UNIT = re.compile(
    r"[A-Za-z0-9:_.@\\-]{1,255}\.(service|socket|target|mount|path|timer|device|swap|automount|slice|scope)"
)
_BYTES = re.compile(r"([0-9]{1,18})([KMGT]?)")
_HOST = re.compile(r"[A-Za-z0-9._\-\[\]:]{1,255}:[0-9]{1,5}")
_LOGIN = re.compile(r"(?<=//)\S*@|^[^/\s:]+:(?!//)\S*@")  # of an address
_WORD = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    Attributes:
        expected: completes "expected ...".
        accept: takes the TOML value and the directory that relative paths start from; raises ValueError to refuse.
    """

    expected: str
    accept: Callable[[object, Path], object]


def shown(raw: object) -> str:
    """A TOML value for a message: short, printable, never more than 60 characters, and without the login of an address."""
    if raw is None:
        return "nothing"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, dict):
        return "a table"
    if isinstance(raw, list):
        inner = ", ".join("a list" if isinstance(item, list) else shown(item) for item in raw[:4])
        text = f"[{inner}{', ...' if len(raw) > 4 else ''}]"
    elif isinstance(raw, str):
        text = json.dumps(_LOGIN.sub("...@", raw)[:80])
    elif isinstance(raw, int) and raw.bit_length() > 128:
        text = "a very large number"
    else:
        text = str(raw)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > MAX_TEXT or not raw.isprintable():
        raise ValueError
    return raw


def _matching(pattern: str, *, empty: bool = False) -> Callable[[object, Path], str]:
    compiled = re.compile(pattern)

    def accept(raw: object, _base: Path) -> str:
        text = _text(raw)
        if not (compiled.fullmatch(text) or (empty and not text)):
            raise ValueError
        return text

    return accept


def _path(raw: object, base: Path) -> Path:
    text = _text(raw)
    if not text:
        raise ValueError
    return base / text


def _optional_path(raw: object, base: Path) -> Path | None:
    return None if raw == "" else _path(raw, base)


def _secret(raw: object, base: Path) -> Path | Credential | None:
    if isinstance(raw, str) and raw.startswith("credential:"):
        name = raw.removeprefix("credential:")
        if not _WORD.fullmatch(name) or name in (".", ".."):
            raise ValueError
        return Credential(name)
    return _optional_path(raw, base)


def _device(raw: object, base: Path) -> str:
    text = _text(raw)
    if text.startswith("partlabel:"):
        if not 1 <= len(text.removeprefix("partlabel:")) <= 36:  # UEFI 5.3.3: a GPT name has 36 UTF-16 units
            raise ValueError
        return text
    if not text:
        raise ValueError
    return str(base / text)


def _boolean(raw: object, _base: Path) -> bool:
    if not isinstance(raw, bool):
        raise ValueError
    return raw


def _argv(raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_LIST:
        raise ValueError
    words = tuple(_text(word) for word in raw)
    if not words[0]:
        raise ValueError
    return words


def _optional_argv(raw: object, _base: Path) -> tuple[str, ...]:
    return () if raw == [] else _argv(raw)


def _argvs(raw: object, _base: Path) -> tuple[tuple[str, ...], ...]:
    if not isinstance(raw, list) or len(raw) > MAX_LIST:
        raise ValueError
    return tuple(_argv(item) for item in raw)


def _texts(raw: object, _base: Path) -> tuple[str, ...]:
    if not isinstance(raw, list) or len(raw) > MAX_LIST:
        raise ValueError
    texts = tuple(_text(item) for item in raw)
    if not all(texts) or len(set(texts)) != len(texts):
        raise ValueError
    return texts


def _words(raw: object, _base: Path) -> tuple[str, ...]:
    return _argv(raw) if raw else ()


def _bytes(raw: object, _base: Path) -> int:
    """As RAUC reads sizes: a suffix multiplies by 1024, its square, and so on."""
    if isinstance(raw, str):
        match = _BYTES.fullmatch(raw)
        if match is None:
            raise ValueError
        raw = int(match[1]) << 10 * (" KMGT".index(match[2]) if match[2] else 0)
    if not isinstance(raw, int) or isinstance(raw, bool) or not 0 <= raw < 1 << 63:
        raise ValueError
    return raw


def _units(raw: object, _base: Path) -> tuple[str, ...]:
    if not isinstance(raw, list) or len(raw) > MAX_LIST:
        raise ValueError
    names = tuple(_text(item) for item in raw)
    if not all(_UNIT.fullmatch(name) for name in names) or len(set(names)) != len(names):
        raise ValueError
    return names


def _url(raw: object, _base: Path) -> str:
    text = _text(raw)
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or " " in text or parts.username is not None:
        raise ValueError
    if parts.query or parts.fragment or parts.port == 0:  # .port raises ValueError when it is no port
        raise ValueError
    return text.rstrip("/")


def _proxy(raw: object, _base: Path) -> str:
    text = _text(raw)
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _HOST.fullmatch(parts.netloc):
        raise ValueError
    if parts.path not in ("", "/") or parts.query or parts.fragment or not parts.port:
        raise ValueError
    return f"{parts.scheme}://{parts.netloc}"


def _bus(raw: object, _base: Path) -> str:
    text = _text(raw)
    if text in ("system", "session", "none") or re.fullmatch(r"[a-z-]+:[^ ]*=[^ ]+", text):
        return text
    raise ValueError


def whole(low: int, high: int) -> Kind:
    """A whole number from ``low`` to ``high``."""

    def accept(raw: object, _base: Path) -> int:
        if not isinstance(raw, int) or isinstance(raw, bool) or not low <= raw <= high:
            raise ValueError
        return raw

    return Kind(f"a whole number from {low} to {high}", accept)


def seconds(low: float, high: float) -> Kind:
    """A duration in seconds from ``low`` to ``high``; fractions are allowed."""

    def accept(raw: object, _base: Path) -> float:
        if not isinstance(raw, int | float) or isinstance(raw, bool):
            raise ValueError
        if not low <= raw <= high:  # also false for nan
            raise ValueError
        return float(raw)

    return Kind(f"a number of seconds from {low:g} to {high:g}", accept)


def factor(low: float, high: float) -> Kind:
    """A number from ``low`` to ``high``; fractions are allowed."""
    return Kind(f"a number from {low:g} to {high:g}", seconds(low, high).accept)


def _splay(raw: object, _base: Path) -> bool | float:
    return raw if isinstance(raw, bool) else _SPLAY_SECONDS.accept(raw, _base)  # type: ignore[return-value]  # a float


def one_of(*words: str) -> Kind:
    """One of a few words."""

    def accept(raw: object, _base: Path) -> str:
        if not isinstance(raw, str) or raw not in words:
            raise ValueError
        return raw

    return Kind(" or ".join(f'"{word}"' for word in words), accept)


def some_of(*words: str) -> Kind:
    """A list of some of a few words, without repetition and not empty."""

    def accept(raw: object, _base: Path) -> tuple[str, ...]:
        if not isinstance(raw, list) or not raw or not all(isinstance(item, str) and item in words for item in raw):
            raise ValueError
        if len(set(raw)) != len(raw):
            raise ValueError
        return tuple(raw)

    return Kind("a list of " + ", ".join(f'"{word}"' for word in words[:-1]) + f' and "{words[-1]}"', accept)


_SPLAY_SECONDS = seconds(0, 86400)
SPLAY = Kind("true, false or a number of seconds up to 86400", _splay)
BOOLEAN = Kind("true or false", _boolean)
PATH = Kind("a path", _path)
OPTIONAL_PATH = Kind('a path, or "" for none', _optional_path)
SECRET = Kind('a path, "credential:NAME" for a credential of systemd, or "" for none', _secret)
DEVICE = Kind('a device path or "partlabel:NAME"', _device)
COMMAND = Kind("a command as a list of words", lambda raw, _base: _argv(raw))
OPTIONAL_COMMAND = Kind("a command as a list of words, or [] for none", _optional_argv)
COMMANDS = Kind("a list of commands, each a list of words", _argvs)
WORDS = Kind("a list of words", _words)
BYTES = Kind('a number of bytes, or a text such as "512K" or "4M"', _bytes)
TEXTS = Kind("a list of different texts", _texts)
UNITS = Kind('a list of different unit names such as "app.service"', _units)
URL = Kind("an address https://host[:port][/path]", _url)
PROXY = Kind('an address http://host:port or https://host:port without user and password, or "" for none', _proxy)
BUS = Kind('"system", "session", "none" or a D-Bus address', _bus)
USER = Kind('the name of a user, or "" to stay the same user', _matching(_USER.pattern, empty=True))
COMPATIBLE = Kind("a text of 1 to 255 printable characters", _matching(r".{1,255}"))
OPTIONAL_TEXT = Kind('a text of at most 255 printable characters, or ""', _matching(r".{1,255}", empty=True))
WORD = Kind("a word of letters, digits, dot, hyphen and underscore", _matching(_WORD.pattern))
OPTIONAL_WORD = Kind(WORD.expected + ', or ""', _matching(_WORD.pattern, empty=True))
OPTIONAL_VARIANT = Kind('a text of 1 to 64 printable characters, or "" for none', _matching(r".{1,64}", empty=True))
NAME_PATTERN = Kind("a pattern for file names, without a slash", _matching(r"[^/]{1,255}"))
VERSION = Kind('a version, or "" for none', _matching(r"[A-Za-z0-9._+~:-]{1,255}", empty=True))
OS_RELEASE_KEY = Kind("a key of os-release such as VERSION_ID", _matching(r"[A-Z][A-Z0-9_]{0,63}"))
# Spring's StrictHttpFirewall, in front of hawkBit, refuses "//", ";", "%2F" and "\"; a plain name is safe everywhere.
IDENTIFIER = Kind("a name of letters, digits and . _ : @ + = -", _matching(r"[A-Za-z0-9._:@+=-]{1,256}", empty=True))
# hawkBit refuses the whole report for one bad pair: keys and values of 1 to 128 of these characters.
ATTRIBUTE = Kind(
    "a text of 1 to 128 plain ASCII characters", _matching(r"[a-zA-Z0-9_\-!@#$%^&*()+=\[\]{}|;:'\",.<>/\\? ]{1,128}")
)
