"""What a copy of the U-Boot environment may lie on, behind one interface; here files and block devices.

NOR and NAND flash are in ``mtd.py``, UBI volumes in ``ubi.py``; they are imported on devices that have them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from bootloader_env.errors import BootEnvError
from bootloader_env.fwenv_config import Copy
from bootloader_env.uboot_format import Scheme

_EMMC_BOOT_PARTITION = re.compile(r"mmcblk[0-9]+boot[01]")
_BLOCKS_ON_FLASH = re.compile(r"(mtd|ubi)block.*")


class Span(NamedTuple):
    """The bytes that a write of a copy may touch.

    Attributes:
        device: the same for all names of one device.
        start: the first byte.
        end: the first byte after them.
    """

    device: str
    start: int
    end: int


class Medium(Protocol):
    """The place of one copy. All methods raise OSError when the storage fails, and BootEnvError as their class says."""

    @property
    def scheme(self) -> Scheme:
        """How flags are used on this kind of medium."""
        ...

    @property
    def span(self) -> Span:
        """What a write may touch."""
        ...

    def read(self) -> bytes:
        """Returns the copy, or fewer bytes when a write to it was interrupted so that the medium itself knows."""
        ...

    def write(self, block: bytes) -> None:
        """Puts a whole copy there, durably."""
        ...

    def retire(self) -> None:
        """Makes the flags obsolete in their place; with the scheme BOOLEAN only."""
        ...


def open_medium(copy: Copy, sysfs: str = "/sys") -> Medium:
    """Finds out what a copy lies on.

    Args:
        copy: from ``fwenv_config.parse``.
        sysfs: where sysfs is mounted.

    Raises:
        BootEnvError: ``bootenv.config-invalid`` when the copy does not fit there, ``bootenv.config-unsupported`` for another
            kind of device, ``bootenv.ubi-missing`` for a UBI volume that is not there.
        OSError: the device is missing or fails.
    """
    if re.match(r"/dev/(mtd|ubi)[0-9]+:", copy.device):
        from bootloader_env import ubi

        return ubi.open_by_name(copy, sysfs)
    status = os.stat(copy.device)
    if stat.S_ISCHR(status.st_mode):
        node = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        home = os.path.realpath(os.path.join(sysfs, "dev/char", node))
        subsystem = os.path.basename(os.path.realpath(os.path.join(home, "subsystem")))
        if subsystem == "mtd":
            from bootloader_env import mtd
            from bootloader_env.flash_devices import opened_flash

            return mtd.MtdMedium(copy, node, lambda writable: opened_flash(copy.device, writable=writable))
        if subsystem == "ubi":
            from bootloader_env import ubi
            from bootloader_env.flash_devices import UbiVolume

            return ubi.UbiMedium(copy, os.path.basename(home), UbiVolume(copy.device, home))
    elif not _BLOCKS_ON_FLASH.fullmatch(os.path.basename(os.path.realpath(copy.device))):
        return FileMedium(copy, sysfs)
    raise unsupported(
        f"{copy.device} is neither a file, a block device with sectors, an MTD device nor a UBI volume",
        "name the device that U-Boot uses; for flash that is /dev/mtdN or a UBI volume, not a block device on top of it",
    )


class FileMedium:
    """A file or a block device. Implements ``Medium``.

    Args:
        copy: where it is.
        sysfs: where sysfs is mounted.
    """

    def __init__(self, copy: Copy, sysfs: str = "/sys") -> None:
        self._copy = copy
        self._sysfs = sysfs
        fd = os.open(copy.device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISBLK(status.st_mode):
                raise unsupported(f"{copy.device} is neither a file nor a device", "name the device that U-Boot uses")
            end = os.lseek(fd, 0, os.SEEK_END)
        finally:
            os.close(fd)
        self._offset = copy.offset if copy.offset >= 0 else end + copy.offset
        if not 0 <= self._offset <= end - copy.size:
            raise outside(copy)
        block = stat.S_ISBLK(status.st_mode)
        device = f"block {status.st_rdev}" if block else f"file {status.st_dev} {status.st_ino}"
        self._span = Span(device, self._offset, self._offset + copy.size)

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
        fd = os.open(self._copy.device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = os.pread(fd, self._copy.size, self._offset)
        finally:
            os.close(fd)
        if len(raw) != self._copy.size:
            raise outside(self._copy)
        return raw

    def write(self, block: bytes) -> None:
        """See Medium."""
        with self._unprotected():
            fd = os.open(self._copy.device, os.O_RDWR | os.O_SYNC | os.O_CLOEXEC)
            try:
                if os.pwrite(fd, block, self._offset) != len(block):
                    raise OSError(f"{self._copy.device} took only a part of the environment")
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # so that it is read back from the device
            finally:
                os.close(fd)

    def retire(self) -> None:
        """See Medium; never called."""
        raise NotImplementedError

    @contextmanager
    def _unprotected(self) -> Iterator[None]:
        """The kernel keeps the boot partitions of an eMMC read-only until they are unlocked in sysfs."""
        name = os.path.basename(os.path.realpath(self._copy.device))
        switch = Path(self._sysfs, "class/block", name, "force_ro")
        if not _EMMC_BOOT_PARTITION.fullmatch(name) or switch.read_text().strip() != "1":
            yield
            return
        switch.write_text("0")
        try:
            yield
        finally:
            switch.write_text("1")


def outside(copy: Copy) -> BootEnvError:
    """Makes the error for a copy that is not within its device."""
    return invalid(f"{copy.size} bytes at {copy.offset:#x} of {copy.device} are not there")


def invalid(details: str) -> BootEnvError:
    """Makes the error for a description that the device contradicts."""
    return BootEnvError(
        "bootenv.config-invalid",
        "the description of the U-Boot environment does not fit the device",
        details=details,
        resolution="compare fw_env.config with the configuration of U-Boot",
    )


def unsupported(details: str, resolution: str) -> BootEnvError:
    """Makes the error for a kind of medium that cannot be used."""
    return BootEnvError(
        "bootenv.config-unsupported",
        "this kind of U-Boot environment is not supported",
        details=details,
        resolution=resolution,
    )
