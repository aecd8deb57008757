"""The little of YAML that libubootenv's configuration needs, read strictly. Pure.

Block mappings and sequences of one-line scalars, with comments, and at most one ``---`` before everything. Whatever else YAML
has is refused: flow style, anchors, tags, several documents, values of several lines, escapes, tabs. Every scalar is text.
What is accepted means the same to every reader of YAML 1.1 and 1.2.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_DEPTH = 6  # levels of nesting; libubootenv's format has four
Node = dict[str, "Node"] | list["Node"] | str

_KEY = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,62}) *:(?: +|$)")
_PLAIN = re.compile(r"(?![-?:](?: |$))[^\s,\[\]{}#&*!|>'\"%@`].*")
_QUOTED = re.compile(r"""("[^"\\]*"|'[^']*')(?: +#.*)?""")
_COMMENT = re.compile(r"(?:^| +)#.*")


class YamlError(ValueError):
    """The text is not in the subset; the message begins with the line."""


class _Line(NamedTuple):
    number: int
    indent: int
    text: str


def load(text: str) -> Node:
    """Returns the content of a document.

    Raises:
        YamlError: it is empty, or not in the subset.
    """
    lines = _lines(text)
    if not lines:
        raise YamlError("line 1: nothing but comments")
    reader = _Reader(lines)
    node = reader.block(0)
    if reader.line is not None:
        raise _wrong(reader.line, "is not indented like what it should belong to")
    return node


class _Reader:
    """Goes through the lines; ``line`` is the next one, None at the end."""

    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self._at = 0

    @property
    def line(self) -> _Line | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def block(self, depth: int) -> Node:
        """Reads what begins at the next line, with everything that is indented like it or deeper."""
        line = self._lines[self._at]
        if depth == MAX_DEPTH:
            raise _wrong(line, f"is nested more than {MAX_DEPTH} levels deep")
        if _is_item(line):
            return self._sequence(line.indent, depth)
        if _KEY.match(line.text):
            return self._mapping(line.indent, depth)
        self._at += 1
        return _scalar(line, line.text)

    def _sequence(self, indent: int, depth: int) -> list[Node]:
        items: list[Node] = []
        while (line := self.line) is not None and line.indent == indent and _is_item(line):
            rest = line.text[1:].lstrip(" ")
            if not rest:
                self._at += 1
                items.append(self._nested(line, indent, depth))
                continue
            # What follows the dash is a block of its own, which begins in that column.
            self._lines[self._at] = _Line(line.number, indent + len(line.text) - len(rest), rest)
            items.append(self.block(depth + 1))
        return items

    def _mapping(self, indent: int, depth: int) -> dict[str, Node]:
        values: dict[str, Node] = {}
        while (line := self.line) is not None and line.indent == indent and not _is_item(line):
            match = _KEY.match(line.text)
            if not match:
                raise _wrong(line, "is no key with a value")
            if match[1] in values:
                raise _wrong(line, "repeats a key")
            rest = line.text[match.end() :]
            self._at += 1
            if rest:
                values[match[1]] = _scalar(line, rest)
            elif (after := self.line) is not None and after.indent == indent and _is_item(after):
                values[match[1]] = self.block(depth + 1)  # a sequence may stand in the column of its key
            else:
                values[match[1]] = self._nested(line, indent, depth)
        return values

    def _nested(self, owner: _Line, indent: int, depth: int) -> Node:
        if self.line is None or self.line.indent <= indent:
            raise _wrong(owner, "has no value")
        return self.block(depth + 1)


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    started = False
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        raw = raw.removesuffix("\r")
        if not raw.replace("\t", "").isprintable():
            raise YamlError(f"line {number}: has characters that cannot be printed")
        body = raw.rstrip(" ")
        if not body or body.lstrip(" ").startswith("#"):
            continue
        line = _Line(number, len(body) - len(body.lstrip(" ")), body.lstrip(" "))
        if _COMMENT.sub("", line.text) == "---" and not line.indent and not started:
            started = True
            continue
        if "\t" in _COMMENT.sub("", line.text):
            raise _wrong(line, "has a tab")
        if line.text.startswith(("---", "...", "%")) and not line.indent:
            raise _wrong(line, "begins or ends a document")
        started = True
        if not _has_quotes(line.text):
            line = line._replace(text=_COMMENT.sub("", line.text))
        lines.append(line)
    return lines


def _has_quotes(text: str) -> bool:
    """Whether a value may be quoted, so that a # in it begins no comment."""
    return '"' in text or "'" in text


def _is_item(line: _Line) -> bool:
    return line.text == "-" or line.text.startswith("- ")


def _scalar(line: _Line, text: str) -> str:
    if text[0] in "\"'":
        quoted = _QUOTED.fullmatch(text)
        if not quoted:
            raise _wrong(line, "has quotes that do not end, an escape, or something behind them")
        return quoted[1][1:-1]
    text = _COMMENT.sub("", text)
    if not text:
        raise _wrong(line, "has no value")
    if not _PLAIN.fullmatch(text) or ": " in text or text.endswith(":"):
        raise _wrong(line, "has a value that must be quoted, or that is more YAML than is understood here")
    return text


def _wrong(line: _Line, what: str) -> YamlError:
    return YamlError(f"line {line.number}: {line.text[:40]!r} {what}")
