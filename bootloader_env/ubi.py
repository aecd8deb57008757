"""A copy of the U-Boot environment in a UBI volume, which it has for itself.

UBI hides bad blocks and wear. A copy that fits into one logical erase block is exchanged atomically. A larger one is written
by a volume update, for which the kernel wants CAP_SYS_RESOURCE: it sets a mark in the flash, which only a complete update
removes, and until then the volume cannot be read. Sources: the kernel's ``include/uapi/mtd/ubi-user.h`` and
``drivers/mtd/ubi/cdev.c``; U-Boot's ``env/ubi.c``.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bootloader_env.errors import BootEnvError
from bootloader_env.fwenv_config import Copy
from bootloader_env.media import Medium, Span, invalid, open_medium, outside
from bootloader_env.uboot_format import Scheme


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """A UBI volume; sizes in bytes.

    Attributes:
        dynamic: whether it is a dynamic volume; only those have blocks that are exchanged.
        leb_size: of a logical erase block, as far as it can be used.
        capacity: of the whole volume.
        damaged: an update of it was interrupted.
    """

    dynamic: bool
    leb_size: int
    capacity: int
    damaged: bool


class Volume(Protocol):
    """A UBI volume. All methods raise OSError when it fails."""

    def info(self) -> VolumeInfo:
        """What it is like now."""
        ...

    def read(self, length: int) -> bytes:
        """Reads from the start; fewer bytes are there in a static volume that was filled less."""
        ...

    def exchange(self, data: bytes) -> None:
        """Changes the first block atomically."""
        ...

    def update(self, data: bytes) -> None:
        """Replaces the content of the volume; it is damaged until that is done."""
        ...


class UbiMedium:
    """A copy in a UBI volume. Implements ``media.Medium``.

    Args:
        copy: where it is.
        name: of the volume, ``ubi0_1``.
        volume: the volume.

    Raises:
        BootEnvError: ``bootenv.config-invalid`` when it does not fit.
        OSError: the volume is missing.
    """

    def __init__(self, copy: Copy, name: str, volume: Volume) -> None:
        if copy.offset:
            raise invalid(f"a copy in a UBI volume begins at 0, not at {copy.offset:#x}")
        self._copy = copy
        self._volume = volume
        info = volume.info()
        if info.capacity < copy.size:
            raise outside(copy)
        self._span = Span(name, 0, info.capacity)

    @property
    def scheme(self) -> Scheme:
        """See Medium."""
        return Scheme.INCREMENTAL

    @property
    def span(self) -> Span:
        """See Medium."""
        return self._span

    def read(self) -> bytes:
        """See Medium."""
        return b"" if self._volume.info().damaged else self._volume.read(self._copy.size)

    def write(self, block: bytes) -> None:
        """See Medium."""
        info = self._volume.info()
        if info.dynamic and not info.damaged and len(block) <= info.leb_size:
            self._volume.exchange(block)
        else:
            self._volume.update(block)

    def retire(self) -> None:
        """See Medium; never called."""
        raise NotImplementedError


def open_by_name(copy: Copy, sysfs: str) -> Medium:
    """Opens a volume by its name: ``/dev/ubi0:env``, or ``/dev/mtd0:env`` on the UBI device that uses this MTD device.

    Raises:
        BootEnvError: ``bootenv.ubi-missing``; we attach nothing. And as ``media.open_medium``.
    """
    device, _, name = copy.device.partition(":")
    ubi = device if device.startswith("/dev/ubi") else _attached(int(device.removeprefix("/dev/mtd")), sysfs)
    for folder in glob.glob(f"{sysfs}/class/ubi/{glob.escape(os.path.basename(ubi))}_*"):
        if ubi and Path(folder, "name").read_text().rstrip("\n") == name:
            found = Copy(f"/dev/{os.path.basename(folder)}", copy.offset, copy.size)
            return open_medium(found, sysfs)
    raise BootEnvError(
        "bootenv.ubi-missing",
        "there is no UBI volume of the name where the U-Boot environment should be",
        details=copy.device,
        resolution="attach the flash before the agent starts: ubiattach, or ubi.mtd= on the kernel's command line",
        retryable=True,
    )


def _attached(mtd: int, sysfs: str) -> str:
    for path in glob.glob(f"{sysfs}/class/ubi/ubi*/mtd_num"):
        if re.fullmatch(r"ubi[0-9]+", os.path.basename(os.path.dirname(path))) and int(Path(path).read_text()) == mtd:
            return os.path.basename(os.path.dirname(path))
    return ""
