"""The GRUB environment block as bytes. Pure.

The block begins with a line that names it; then come lines ``name=value``, where a backslash stands before each backslash
and each line end of the value, and comments that begin with ``#``; ``#`` also fills the rest. GRUB reads the block's file
by its disk blocks and cannot resize it: its size never changes. There is no checksum. Source: GRUB's ``lib/envblk.c``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from bootloader_env.errors import BootEnvError
from bootloader_env.order import Changes, Variables

HEADER = b"# GRUB Environment Block\n"
SIZE = 1024  # bytes, as grub-editenv creates it
MAX_SIZE = 64 * 1024  # bytes that we are willing to read
Lines = tuple[bytes, ...]
_LINE_END = re.compile(rb"(?:[^\\\n]|\\.)*\n", re.DOTALL)  # a backslash hides the character after it, even a line end


def decode(block: bytes) -> Lines:
    """Returns variables and comments between the header and the padding, with their line ends and escapes.

    Whatever follows the header, GRUB finds variables in it or none; so do we, because there is no checksum to judge by.

    Raises:
        BootEnvError: ``bootenv.invalid``.
    """
    if not block.startswith(HEADER) or len(block) > MAX_SIZE:
        raise _invalid(f"{len(block)} bytes without the header" if block else "it is empty")
    return tuple(_lines(block))


def is_storable(block: bytes) -> bool:
    """Whether GRUB can store into it: ``grub_envblk_set`` wants nothing but padding behind the last line end."""
    return block.rstrip(b"#").endswith(b"\n")


def encode(lines: Lines, size: int) -> bytes:
    """Builds a block of exactly ``size`` bytes; raises BootEnvError ``bootenv.full``."""
    data = HEADER + b"".join(lines)
    if len(data) > size:
        raise BootEnvError(
            "bootenv.full",
            "the GRUB environment block is full",
            details=f"{len(data)} bytes are needed, but the block has {size}",
            resolution="delete variables that are no longer used with grub-editenv unset",
        )
    return data.ljust(size, b"#")


def variables(lines: Lines) -> Variables:
    """Returns names and values, one character for each byte. Of two lines with one name the last counts."""
    found: dict[str, str] = {}
    for line in lines:
        if not line.startswith(b"#"):
            name, _, value = line[:-1].decode("latin-1").partition("=")
            found[name] = _unescaped(value)
    return found


def edited(lines: Lines, changes: Changes) -> Lines:
    """Applies changes; everything else keeps its bytes and its place, and new variables come last."""
    wanted = {_encoded(name): value for name, value in changes.items()}
    left = dict(wanted)
    kept: list[bytes] = []
    for line in lines:
        name = _name(line)
        if name is None or name not in wanted:
            kept.append(line)
        elif left.get(name) is not None:
            kept.append(_line(name, left.pop(name) or ""))
    kept.extend(_line(name, value) for name, value in left.items() if value is not None)
    return tuple(kept)


def ahead(lines: Lines, names: Collection[str]) -> Lines:
    """Moves some variables to the front, into the first sector, which a disk writes as a whole or not at all."""
    wanted = {_encoded(name) for name in names}
    first = tuple(line for line in lines if _name(line) in wanted)
    return first + tuple(line for line in lines if _name(line) not in wanted)


def _name(line: bytes) -> bytes | None:
    return None if line.startswith(b"#") else line.partition(b"=")[0]


def _lines(block: bytes) -> Iterator[bytes]:
    position = len(HEADER)
    while position < len(block):
        start = position
        if block[start] != ord("#"):
            position = block.find(b"=", start)  # as for GRUB, even a line end before it belongs to the name
            if position < 0:
                return
        end = _LINE_END.match(block, position)
        if end is None:  # the padding, or a variable without a line end, which GRUB ignores, too
            return
        position = end.end()
        yield block[start:position]


def _line(name: bytes, value: str) -> bytes:
    escaped = _encoded(value).replace(b"\\", b"\\\\").replace(b"\n", b"\\\n")
    return name + b"=" + escaped + b"\n"


def _unescaped(value: str) -> str:
    out: list[str] = []
    characters = iter(value)
    for character in characters:
        out.append(next(characters, "") if character == "\\" else character)
    return "".join(out)


def _encoded(text: str) -> bytes:
    if "\0" in text:
        raise ValueError(f"{text!r} cannot be stored in a GRUB environment block")
    return text.encode("latin-1")


def _invalid(details: str) -> BootEnvError:
    return BootEnvError(
        "bootenv.invalid",
        "the GRUB environment block is not valid",
        details=details,
        resolution="GRUB cannot store into it either: make a new one with grub-editenv FILE create, then mark the slots",
    )
