"""The boot variables of UEFI as bytes. Pure.

A variable in efivarfs is four bytes of attributes, little endian, and the data. ``BootOrder`` is a list of 16-bit numbers,
``BootNext`` and ``BootCurrent`` one each; ``Boot####`` is an ``EFI_LOAD_OPTION``. Sources: UEFI 2.10, 3.1.3 "Load Options"
and 3.3 "Globally Defined Variables"; Linux, Documentation/filesystems/efivarfs.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from bootloader_env.errors import BootEnvError

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"  # EFI_GLOBAL_VARIABLE
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"  # systemd's Boot Loader Interface
ATTRIBUTES = 0x7  # NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS
MAX_VARIABLE = 64 * 1024  # bytes; the usual limit of firmware is 32 KiB or 64 KiB for all variables
ACTIVE = 0x1  # LOAD_OPTION_ACTIVE: the firmware considers the entry when it walks through BootOrder
_HEAD = struct.Struct("<IH")


@dataclass(frozen=True, slots=True)
class LoadOption:
    """One ``EFI_LOAD_OPTION``.

    Attributes:
        attributes: 32 bits, see ``ACTIVE``.
        label: the description, which is the boot name for slots.
        file_path: the packed device path list.
        optional_data: whatever follows; for Linux the command line.
    """

    attributes: int
    label: str
    file_path: bytes
    optional_data: bytes

    @property
    def active(self) -> bool:
        """Whether the firmware considers the entry by itself."""
        return bool(self.attributes & ACTIVE)


def decode_option(data: bytes) -> LoadOption:
    """Takes a load option apart.

    Raises:
        BootEnvError: ``bootenv.efi-invalid``.
    """
    if len(data) < _HEAD.size:
        raise invalid(f"a load option of {len(data)} bytes")
    attributes, length = _HEAD.unpack_from(data)
    for end in range(_HEAD.size, len(data) - 1, 2):
        if data[end : end + 2] == b"\0\0":
            break
    else:
        raise invalid("a load option whose description does not end")
    path = end + 2
    if path + length > len(data):
        raise invalid(f"a load option with a device path of {length} bytes, of which {len(data) - path} are there")
    label = data[_HEAD.size : end].decode("utf-16-le", "replace")
    return LoadOption(attributes, label, data[path : path + length], data[path + length :])


def encode_option(option: LoadOption) -> bytes:
    """Builds a load option."""
    head = _HEAD.pack(option.attributes, len(option.file_path))
    return head + option.label.encode("utf-16-le") + b"\0\0" + option.file_path + option.optional_data


def decode_numbers(data: bytes) -> tuple[int, ...]:
    """Reads a list of boot option numbers; raises BootEnvError ``bootenv.efi-invalid`` for an odd length."""
    if len(data) % 2:
        raise invalid(f"a list of boot entries with {len(data)} bytes")
    return struct.unpack(f"<{len(data) // 2}H", data)


def encode_numbers(numbers: Sequence[int]) -> bytes:
    """Builds a list of boot option numbers."""
    return struct.pack(f"<{len(numbers)}H", *numbers)


def decode_text(data: bytes) -> str:
    """Reads a text variable of the Boot Loader Interface: UTF-16, ended by NUL."""
    return data.decode("utf-16-le", "replace").partition("\0")[0]


def invalid(details: str) -> BootEnvError:
    """Makes the error for a variable that the specification does not allow."""
    return BootEnvError(
        "bootenv.efi-invalid",
        "a boot variable of the firmware cannot be understood",
        details=details,
        resolution="look at it with efibootmgr -v, and delete or correct it",
    )
