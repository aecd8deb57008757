"""The disk of a device with two systems or more: the one description that everything else is made from.

Partitions, in this order: ``boot`` (FAT), one slot for each boot name of ``OTA_AB_SLOTS``, ``data``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ota_layer.sizes import size

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str], str | None]  # the expanded value of a BitBake variable

_BOOT_NAME = re.compile(r"[A-Za-z0-9]+")
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,36}")  # UEFI 5.3.3: a GPT name has 36 UTF-16 units
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Partition:
    """A partition of the disk.

    Attributes:
        number: in the GPT, from 1.
        label: the GPT name.
        uuid: the GPT UUID.
        size: bytes.
        bootname: what the bootloader calls the slot; empty for what is no slot.
    """

    number: int
    label: str
    uuid: str
    size: int
    bootname: str = ""


@dataclass(frozen=True)
class Layout:
    """All partitions.

    Attributes:
        boot: what the firmware or U-Boot reads; both systems share it.
        slots: in the order of their boot names.
        data: what both systems share and keep.
    """

    boot: Partition
    slots: tuple[Partition, ...]
    data: Partition

    @property
    def bootnames(self) -> str:
        """As the boot scripts want them: ``A B``."""
        return " ".join(slot.bootname for slot in self.slots)


def read_layout(get: Read) -> Layout:
    """Reads ``OTA_AB_*``.

    Raises:
        ValueError: a variable is missing or makes no sense; the text names it.
    """
    names = (get("OTA_AB_SLOTS") or "").split()
    if not 2 <= len(names) <= 3 or len(set(names)) != len(names) or not all(map(_BOOT_NAME.fullmatch, names)):
        raise ValueError(
            f"OTA_AB_SLOTS: expected two or three different boot names such as A B, got {' '.join(names)!r}"
        )
    boot = _partition(get, "BOOT", 1, "OTA_AB_BOOT_SIZE")
    slots = tuple(
        _partition(get, name, 2 + place, "OTA_AB_SLOT_SIZE", bootname=name) for place, name in enumerate(names)
    )
    data = _partition(get, "DATA", 2 + len(names), "OTA_AB_DATA_SIZE")
    everything = (boot, *slots, data)
    for what in ("label", "uuid"):
        if len({getattr(each, what) for each in everything}) != len(everything):
            raise ValueError(f"OTA_AB_{what.upper()}_*: expected a different one for each partition")
    return Layout(boot, slots, data)


def _partition(get: Read, name: str, number: int, size_variable: str, bootname: str = "") -> Partition:
    label = _matching(get, f"OTA_AB_LABEL_{name}", _LABEL, "a partition label")
    uuid = _matching(get, f"OTA_AB_UUID_{name}", _UUID, "a UUID in lower case")
    try:
        bytes_ = size(get(size_variable) or "")
    except ValueError as error:
        raise ValueError(f"{size_variable}: {error}") from error
    if bytes_ % (1024 * 1024) or not bytes_:
        raise ValueError(f"{size_variable}: expected whole MiB, got {bytes_} bytes")
    return Partition(number, label, uuid, bytes_, bootname)


def _matching(get: Read, variable: str, pattern: re.Pattern[str], expected: str) -> str:
    value = get(variable) or ""
    if not pattern.fullmatch(value):
        raise ValueError(f"{variable}: expected {expected}, got {value!r}")
    return value
