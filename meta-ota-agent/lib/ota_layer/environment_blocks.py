"""Boot environments of new devices, as the bootloaders want them in storage."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_GRUB_SIZE = 1024  # bytes; GRUB takes no other
_GRUB_HEADER = "# GRUB Environment Block\n"


def grub_block(variables: Mapping[str, str]) -> bytes:
    """The content of ``grubenv``; the values hold no backslash and no newline.

    Raises:
        ValueError: they do not fit.
    """
    text = _GRUB_HEADER + "".join(f"{name}={value}\n" for name, value in variables.items())
    if len(text) > _GRUB_SIZE:
        raise ValueError(f"the environment needs {len(text)} bytes, GRUB has {_GRUB_SIZE}")
    return text.ljust(_GRUB_SIZE, "#").encode("ascii")


def uboot_block(variables: Mapping[str, str], size: int) -> bytes:
    """One copy of U-Boot's environment without flags: CRC-32 in little endian, ``name=value`` with a NUL behind each.

    Args:
        variables: names and values.
        size: bytes of the whole copy, CONFIG_ENV_SIZE.

    Raises:
        ValueError: they do not fit.
    """
    data = b"".join(f"{name}={value}".encode("ascii") + b"\0" for name, value in variables.items()) + b"\0"
    if len(data) > size - 4:
        raise ValueError(f"the environment needs {len(data) + 4} bytes, there are {size}")
    data = data.ljust(size - 4, b"\0")
    return zlib.crc32(data).to_bytes(4, "little") + data
