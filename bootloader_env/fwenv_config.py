"""The file that says where the U-Boot environment lies: ``/etc/fw_env.config`` in its line format. Pure.

A line is ``device offset size [sector-size [sectors]]``; one line for a single environment, two for a redundant one. The
offset is decimal, octal (0...) or hexadecimal (0x...) and counts from the end when it is negative; the size is hexadecimal
with or without 0x. Source: libubootenv, ``libuboot_read_config``; fw_env.config(5) of U-Boot's tools.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bootloader_env.errors import BootEnvError

MAX_FILE = 64 * 1024  # bytes of the configuration
MIN_SIZE = 64  # bytes of an environment
MAX_SIZE = 1024 * 1024  # U-Boot's boards use 4 KiB to 256 KiB
_OFFSET = re.compile(r"(-?)(0[xX][0-9A-Fa-f]{1,15}|[0-9]{1,18})")
_SIZE = re.compile(r"(0[xX])?[0-9A-Fa-f]{1,8}")


@dataclass(frozen=True, slots=True)
class Copy:
    """Where one copy lies: bytes from the start of the device (negative: from its end), and its length."""

    device: str
    offset: int
    size: int


def parse(text: str) -> tuple[Copy, ...]:
    """Returns one copy or two.

    Raises:
        BootEnvError: ``bootenv.config-invalid``, or ``bootenv.config-unsupported`` for raw flash and for the YAML format.
    """
    copies: list[Copy] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if fields and not fields[0].startswith("#"):
            copies.append(_copy(fields, number))
    if not 1 <= len(copies) <= 2:
        raise _wrong(f"{len(copies)} lines describe an environment instead of one or two")
    if len({copy.size for copy in copies}) != 1:
        raise _wrong("the two copies have different sizes")
    if len(copies) == 2 and _overlap(*copies):
        raise _wrong("the two copies overlap")
    return tuple(copies)


def _copy(fields: list[str], number: int) -> Copy:
    device = fields[0]
    if device.endswith(":") or device == "---":
        raise _unsupported("it is in the YAML format", "use the format of one line for each copy")
    if not device.startswith("/"):
        raise _wrong(f"line {number}: {device!r} is no absolute path")
    if re.match(r"/dev/(mtd|ubi)", device):
        raise _unsupported(f"{device} is raw flash", "keep the environment on a block device or in a file")
    if not 3 <= len(fields) <= 6:
        raise _wrong(f"line {number}: {len(fields)} fields instead of device, offset and size")
    offset, size = _OFFSET.fullmatch(fields[1]), _SIZE.fullmatch(fields[2])
    if not offset or not size:
        raise _wrong(f"line {number}: offset {fields[1]!r} or size {fields[2]!r} is no number")
    length = int(fields[2], 16)
    if not MIN_SIZE <= length <= MAX_SIZE:
        raise _wrong(f"line {number}: a size of {length} bytes; the size is hexadecimal, with or without 0x")
    return Copy(device, _number(offset[2]) * (-1 if offset[1] else 1), length)


def _number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    if text[0] == "0" and len(text) > 1:
        if not re.fullmatch(r"[0-7]+", text):
            raise _wrong(f"{text!r} is no octal number, which a leading 0 announces")
        return int(text, 8)
    return int(text)


def _overlap(first: Copy, second: Copy) -> bool:
    """Whether they overlap as far as the text can tell: an offset from the end cannot be compared with one from the start."""
    same_side = (first.offset < 0) == (second.offset < 0)
    return first.device == second.device and same_side and abs(first.offset - second.offset) < first.size


def _wrong(details: str) -> BootEnvError:
    return BootEnvError(
        "bootenv.config-invalid",
        "the description of the U-Boot environment is wrong",
        details=details,
        resolution="compare fw_env.config with CONFIG_ENV_OFFSET, CONFIG_ENV_OFFSET_REDUND and CONFIG_ENV_SIZE of U-Boot",
    )


def _unsupported(details: str, resolution: str) -> BootEnvError:
    return BootEnvError(
        "bootenv.config-unsupported",
        "this kind of U-Boot environment is not supported",
        details=details,
        resolution=resolution,
    )
