"""The chain of records: how a line is written, and what shows that one was changed, moved or taken out. Pure.

A line is ``{"hash":"HASH","record":RECORD}``. HASH is the SHA-256 of the hash before it, as 64 digits, and the bytes of
RECORD. None of this ever changes: an agent can verify and go on with what any other, older or newer, has written. What
may change is what stands in a record; the number ``audit`` at the beginning of a file counts that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

SCHEMA = 1
MAX_LINE = 16 * 1024  # bytes; ours are shorter than 4 KiB
_BEFORE, _BETWEEN, _AFTER = b'{"hash":"', b'","record":', b"}"
_DIGITS = 64
_RECORD = len(_BEFORE) + _DIGITS + len(_BETWEEN)


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain: how many records are before it, and the hash of the last of them."""

    count: int
    head: str


START = Link(0, "0" * _DIGITS)


class Broken(Exception):
    """The chain does not hold.

    Args:
        seq: the number of the first record that is missing, moved or changed.
        why: what was found there.
    """

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(why)
        self.seq = seq
        self.why = why


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, taken apart. ``record`` are the bytes that were hashed."""

    hash: str
    record: bytes
    values: Mapping[str, Any]


def canonical(values: Mapping[str, object]) -> bytes:
    """The one way to write a record: keys sorted, no blanks, ASCII only."""
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii")


def linked(at: Link, record: bytes) -> Link:
    """The place behind a record."""
    return Link(at.count + 1, sha256(at.head.encode("ascii") + record))


def line(at: Link, record: bytes) -> bytes:
    """The line of a record; ``at`` is the place before it."""
    return _BEFORE + linked(at, record).head.encode("ascii") + _BETWEEN + record + _AFTER + b"\n"


def header(at: Link) -> bytes:
    """The first line of every file: the place before its first record."""
    return canonical({"audit": SCHEMA, "count": at.count, "head": at.head}) + b"\n"


def trailer(at: Link) -> bytes:
    """The last line of an export: the place behind its last record."""
    return canonical({"count": at.count, "head": at.head}) + b"\n"


def place(text: bytes) -> Link | None:
    """Reads a header or a trailer; None when it is neither."""
    values = _object(text)
    count, head = values.get("count"), values.get("head")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0 or not isinstance(head, str):
        return None
    return Link(count, head) if _is_hash(head) else None


def is_header(text: bytes) -> bool:
    """Whether a file begins with this line."""
    number = _object(text).get("audit")
    return isinstance(number, int) and not isinstance(number, bool) and place(text) is not None


def entry(text: bytes) -> Entry | None:
    """Takes a line apart, its line feed included; None when it is no line of a record, or its hash is not that of its bytes."""
    if not (text.startswith(_BEFORE) and text.endswith(_AFTER + b"\n") and len(text) <= MAX_LINE):
        return None
    if text[_RECORD - len(_BETWEEN) : _RECORD] != _BETWEEN:
        return None
    found, record = text[len(_BEFORE) : len(_BEFORE) + _DIGITS].decode("ascii", "replace"), text[_RECORD:-2]
    values = _object(record)
    before, seq = values.get("prev"), values.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or not isinstance(before, str) or not _is_hash(before):
        return None
    return Entry(found, record, values) if sha256(before.encode("ascii") + record) == found else None


def follow(at: Link, lines: Iterable[bytes]) -> Iterator[tuple[Link, Entry]]:
    """Goes along lines of records, and tells the place behind each.

    Raises:
        Broken: at the first that is not the next of the chain.
    """
    for text in lines:
        found, seq = entry(text), at.count + 1
        if found is None:
            raise Broken(seq, "the bytes of the record are not those that were written")
        if found.values["seq"] != seq:
            raise Broken(seq, f"record {found.values['seq']} stands in its place")
        if found.values["prev"] != at.head:
            raise Broken(seq, "it does not continue the record before it")
        at = Link(seq, found.hash)
        yield at, found


def read_export(lines: Iterable[bytes]) -> Iterator[tuple[Link, Entry]]:
    """Goes along an exported file, which begins with a header and ends with a trailer.

    Raises:
        Broken: as ``follow``; also when the file does not end where its trailer says, or was cut off.
    """
    at: Link | None = None
    end: Link | None = None
    for text in lines:
        if at is None:
            at = place(text) if is_header(text) else None
            if at is None:
                raise Broken(1, "the file does not begin as an export of the audit log")
        elif end is not None:
            raise Broken(at.count + 1, "there is more behind the end")
        elif text.endswith(b"\n") and not text.startswith(_BEFORE):
            end = place(text)
            if end is None:
                raise Broken(at.count + 1, "the bytes of the record are not those that were written")
            if end != at:
                raise Broken(min(end.count, at.count) + 1, f"{end.count} records were exported, {at.count} are there")
        else:
            for step in follow(at, [text]):
                at = step[0]
                yield step
    if at is None or end is None:
        raise Broken((at.count if at else 0) + 1, "the end of the file is missing")


def _is_hash(text: str) -> bool:
    return len(text) == _DIGITS and not set(text) - set("0123456789abcdef")


def _object(text: bytes) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def sha256(data: bytes) -> str:
    """Without OpenSSL, which hashlib would load into the daemon: it is larger than the daemon itself."""
    digest: str = _implementation()(data).hexdigest()
    return digest


@cache
def _implementation() -> Callable[[bytes], Any]:
    """Looked for once: Python searches its whole path again for each import of a module that is not there."""
    for name in ("_sha2", "_sha256", "hashlib"):  # the first since Python 3.12, the second until then
        with suppress(ImportError):
            found: Callable[[bytes], Any] = import_module(name).sha256
            return found
    raise ImportError("this Python has no SHA-256")
