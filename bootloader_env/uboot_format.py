"""The U-Boot environment as bytes. Pure.

A copy is a CRC-32 of the data (little endian, 4 bytes), one flags byte if there are two copies, and the data: entries
``name=value`` that end with NUL each, another NUL, padding of any content. Which of two copies with a right CRC counts, the
flags byte tells, see ``Scheme``. Sources: U-Boot's ``env/common.c`` (``env_check_redund``), ``env/flash.c``, ``env/sf.c`` and
``include/env_internal.h``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bootloader_env.errors import BootEnvError
from bootloader_env.order import Changes, Variables

_CRC = 4  # bytes
FLAGS_AT = 4  # where the flags byte is
ACTIVE, OBSOLETE = 1, 0  # the flags in NOR flash
Entries = tuple[bytes, ...]


class Scheme(Enum):
    """How the flags of two copies tell which one counts. With equal flags it is the first.

    INCREMENTAL: the larger, where 0 follows 255; each write counts on. BOOLEAN, in NOR flash: the larger; a write makes the
    new copy active (1), and then the old one obsolete (0) by clearing bits, which needs no erasing.
    """

    INCREMENTAL = "incremental"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Image:
    """One copy with a right CRC: its flags (0 without redundancy) and its entries as they stand there."""

    flags: int
    entries: Entries


def decode(raw: bytes, *, redundant: bool) -> Image | None:
    """Takes a copy apart; None when its CRC is wrong.

    Raises:
        BootEnvError: ``bootenv.invalid`` when the CRC is right, yet the entries do not end.
    """
    data = raw[_CRC + redundant :]
    if not data or int.from_bytes(raw[:_CRC], "little") != zlib.crc32(data):
        return None
    end = 0 if data[0] == 0 else data.find(b"\0\0") + 1
    if end == 0 and data[0] != 0:
        raise BootEnvError(
            "bootenv.invalid",
            "the U-Boot environment has no end",
            details=f"{len(data)} bytes with a right checksum, but without the mark after the last variable",
            resolution="write the environment again from U-Boot with saveenv",
        )
    return Image(raw[_CRC] if redundant else 0, tuple(data[:end].split(b"\0")[:-1]))


def encode(entries: Entries, size: int, *, flags: int | None) -> bytes:
    """Builds a copy.

    Args:
        entries: ``name=value`` each.
        size: bytes of the whole copy.
        flags: 0 to 255, or None without redundancy.

    Raises:
        BootEnvError: ``bootenv.full``.
    """
    head = b"" if flags is None else bytes([flags])
    data = b"".join(entry + b"\0" for entry in entries) + b"\0"
    room = size - _CRC - len(head)
    if len(data) > room:
        raise BootEnvError(
            "bootenv.full",
            "the U-Boot environment is full",
            details=f"{len(data)} bytes are needed, but there is room for {room}",
            resolution="delete variables that are no longer used, or enlarge the environment",
        )
    data = data.ljust(room, b"\0")
    return zlib.crc32(data).to_bytes(_CRC, "little") + head + data


def current(images: Sequence[Image | None], scheme: Scheme = Scheme.INCREMENTAL) -> int | None:
    """Returns the number of the copy that U-Boot takes, or None when no copy is valid."""
    valid = [number for number, image in enumerate(images) if image is not None]
    if len(valid) < 2:
        return valid[0] if valid else None
    first, second = (image.flags for image in images if image is not None)
    if scheme is Scheme.INCREMENTAL and (first, second) in ((255, 0), (0, 255)):
        return int(second == 0)
    return int(second > first)


def next_flags(flags: int, scheme: Scheme) -> int:
    """Returns the flags of the copy that is to count instead of one with these flags."""
    return ACTIVE if scheme is Scheme.BOOLEAN else (flags + 1) & 0xFF


def variables(entries: Entries) -> Variables:
    """Returns names and values, one character for each byte. Of two entries with one name the last counts."""
    pairs = (entry.decode("latin-1").partition("=") for entry in entries)
    return {name: value for name, equals, value in pairs if equals and name}


def edited(entries: Entries, changes: Changes) -> Entries:
    """Applies changes; everything else keeps its bytes and its place, and new variables come last.

    U-Boot takes ``name=`` for a deletion, so that an empty value means the same as None.
    """
    wanted = {_encoded(name): value and _encoded(value) for name, value in changes.items()}
    left = dict(wanted)
    kept: list[bytes] = []
    for entry in entries:
        name, equals, _ = entry.partition(b"=")
        if not equals or name not in wanted:
            kept.append(entry)
        elif left.get(name):
            kept.append(name + b"=" + (left.pop(name) or b""))
    kept.extend(name + b"=" + value for name, value in left.items() if value)
    return tuple(kept)


def _encoded(text: str) -> bytes:
    if "\0" in text:
        raise ValueError(f"{text!r} cannot be stored in a U-Boot environment")
    return text.encode("latin-1")
