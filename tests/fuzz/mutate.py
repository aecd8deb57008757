"""Changes to inputs: of bytes, of DER elements and of lines. All of them are functions of a seeded ``random.Random``."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

EDGES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    1 << 63,
    (1 << 64) - 1,
)


def edge(chooser: random.Random, width: int, around: Sequence[int] = ()) -> int:
    """A number of ``width`` bytes where mistakes live: at a border of a type, or beside one of the given numbers."""
    value = chooser.choice(EDGES) if not around or chooser.random() < 0.5 else chooser.choice(around)
    return (value + chooser.choice((0, 0, 0, -1, 1, -2, 4096, 8))) & ((1 << 8 * width) - 1)


def change_bytes(data: bytes, chooser: random.Random) -> bytes:
    """Flips, overwrites, inserts, removes, repeats or cuts."""
    out = bytearray(data)
    for _ in range(chooser.choice((1, 1, 1, 2, 4))):
        at = chooser.randrange(len(out) + 1)
        length = chooser.choice((1, 1, 2, 4, 8, chooser.randrange(1, 65)))
        kind = chooser.randrange(7)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << chooser.randrange(8)
        elif kind == 1:
            out[at : at + length] = chooser.randbytes(length)
        elif kind == 2:
            width = chooser.choice((1, 2, 4, 8))
            out[at : at + width] = edge(chooser, width, (len(out),)).to_bytes(width, chooser.choice(("big", "little")))
        elif kind == 3:
            del out[at : at + length]
        elif kind == 4:
            out[at:at] = chooser.randbytes(length)
        elif kind == 5:
            source = chooser.randrange(len(out) + 1)
            out[at:at] = out[source : source + length]
        elif chooser.random() < 0.2:
            del out[at:]
    return bytes(out)


_LARGE = 64 * 1024  # bytes; repeated repetitions end here


@dataclass
class Element:
    """One element of DER: primitive ones have content, constructed ones have children."""

    tag: int
    content: bytes = b""
    children: list[Element] | None = field(default=None)

    def dump(self) -> bytes:
        """The encoding, with lengths that are right again."""
        body = self.content if self.children is None else b"".join(each.dump() for each in self.children)
        size = len(body)
        if size < 0x80:
            return bytes((self.tag, size)) + body
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes((self.tag, 0x80 | len(length))) + length + body


def parse_der(data: bytes) -> list[Element]:
    """Takes DER apart; raises ValueError where it is none."""
    found, position = [], 0
    while position < len(data):
        if position + 2 > len(data):
            raise ValueError("cut off")
        tag, length, start = data[position], data[position + 1], position + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[position + 2 : start], "big")
        if start + length > len(data):
            raise ValueError("cut off")
        body = data[start : start + length]
        found.append(Element(tag, children=parse_der(body)) if tag & 0x20 else Element(tag, body))
        position = start + length
    return found


def change_der(data: bytes, chooser: random.Random) -> bytes:
    """Changes elements and keeps all the lengths around them right; falls back to bytes."""
    try:
        top = parse_der(data)
    except (ValueError, RecursionError):
        top = []
    if not top or chooser.random() < 0.2:
        return change_bytes(data, chooser)
    for _ in range(chooser.choice((1, 1, 1, 2, 3))):
        _change_element(top, chooser)
        try:
            changed = b"".join(each.dump() for each in top)
        except RecursionError:
            break
        if not 0 < len(changed) <= _LARGE:
            break
        data = changed
    return data


def _change_element(top: list[Element], chooser: random.Random) -> None:
    places = list(_places(top))
    siblings, at = chooser.choice(places)
    element = siblings[at]
    others, other = chooser.choice(places)
    kind = chooser.randrange(9)
    if kind == 0:
        del siblings[at]
    elif kind == 1:
        siblings[at:at] = [element] * chooser.choice((1, 1, 2, 16, 300) if len(element.dump()) < 100 else (1, 2))
    elif kind == 2:
        siblings[at] = deepcopy(others[other])
    elif kind == 3:
        siblings.insert(at, deepcopy(others[other]))
    elif kind == 4:
        element.tag = chooser.choice((element.tag ^ 1 << chooser.randrange(8), others[other].tag, 0x05, 0x30, 0xA0))
    elif kind == 5 and element.children:
        chooser.shuffle(element.children)
    elif kind == 6:
        for _ in range(chooser.choice((1, 3, 20, 40))):
            siblings[at] = Element(chooser.choice((0x30, 0x31, 0xA0)), children=[siblings[at]])
    elif element.children is None:
        element.content = _content(element.content, chooser)
    else:
        element.children = []


def _content(content: bytes, chooser: random.Random) -> bytes:
    kind = chooser.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return chooser.choice((b"\0", b"\x7f", b"\xff", b"\x80")) + content
    if kind == 2:
        return content + bytes([chooser.choice((0x00, 0x81, 0xFF))]) * chooser.choice((1, 30, 3000)) + b"\1"
    return change_bytes(content, chooser)


def _places(siblings: list[Element]) -> list[tuple[list[Element], int]]:
    found, waiting = [], [siblings]
    while waiting:
        each = waiting.pop()
        for at, element in enumerate(each):
            found.append((each, at))
            if element.children:
                waiting.append(element.children)
    return found


def by_lines(words: Sequence[bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Returns a mutator that moves, repeats and joins lines, and puts in words of the language."""

    def change_lines(data: bytes, chooser: random.Random) -> bytes:
        if chooser.random() < 0.3:
            return change_bytes(data, chooser)
        lines = data.split(b"\n")
        for _ in range(chooser.choice((1, 1, 2, 5))):
            at, other = chooser.randrange(len(lines)), chooser.randrange(len(lines))
            kind = chooser.randrange(6)
            if kind == 0:
                lines.insert(at, lines[other])
            elif kind == 1 and len(lines) > 1:
                del lines[at]
            elif kind == 2:
                place = chooser.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:place] + chooser.choice(words) + lines[at][place:]
            elif kind == 3:
                key, _, value = lines[at].partition(b"=")
                lines[at] = chooser.choice((key, chooser.choice(words))) + b"=" + chooser.choice((value, *words))
            elif kind == 4:
                lines.insert(at, chooser.choice(words))
            else:
                lines[at] = change_bytes(lines[at], chooser)
        return b"\n".join(lines)

    return change_lines


def either(*mutators: Callable[[bytes, random.Random], bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Returns a mutator that takes one of several each time."""

    def change(data: bytes, chooser: random.Random) -> bytes:
        return chooser.choice(mutators)(data, chooser)

    return change
