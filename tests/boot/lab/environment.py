"""U-Boot's environment as bytes, read as U-Boot reads it (env/common.c, env/flags.h): CRC-32, flags if redundant, variables.

This shares no code with ``bootloader_env``.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path


def encode(variables: Mapping[str, str], size: int, *, redundant: bool) -> bytes:
    """A copy of ``size`` bytes, made by U-Boot's own tool."""
    with tempfile.TemporaryDirectory(prefix="ota-env-") as directory:
        text, image = Path(directory) / "text", Path(directory) / "image"
        text.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        command = ["mkenvimage", *(["-r"] if redundant else []), "-s", hex(size), "-o", image, text]
        subprocess.run(command, check=True, capture_output=True)
        return image.read_bytes()


def decode(copies: Sequence[bytes], *, redundant: bool) -> dict[str, str]:
    """The variables of the copy that counts: the newer one, or without flags the first one that is whole.

    Raises:
        LookupError: no copy is whole.
    """
    head = 5 if redundant else 4
    whole = [copy for copy in copies if struct.unpack_from("<I", copy)[0] == zlib.crc32(copy[head:])]
    if not whole:
        raise LookupError("no copy of the environment is whole")
    if redundant and len(whole) == 2 and _newer(whole[1][4], whole[0][4]):
        whole.reverse()
    lines = whole[0][head:].partition(b"\0\0")[0].split(b"\0")
    return dict(line.decode("latin-1").partition("=")[::2] for line in lines if line)


def _newer(one: int, other: int) -> bool:
    """env_check_redund: the counter wraps from 255 to 0."""
    if {one, other} == {0, 255}:
        return one == 0
    return one > other
