"""The U-Boot environment on a block device or in a file, shared with fw_setenv and with U-Boot itself.

A change is written to the copy that does *not* count, in one write, and is read back. Until that write is complete and
its checksum is right, U-Boot takes the other copy: a power cut leaves the old environment. The whole read-change-write
runs under the lock that libubootenv and U-Boot's tools take.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootloader_env import uboot_format as fmt
from bootloader_env.errors import BootEnvError, io_failed
from bootloader_env.fwenv_config import Copy
from bootloader_env.lock import locked
from bootloader_env.order import Variables, effective
from bootloader_env.variables import Plan

DEFAULT_LOCK = "/var/lock/fw_printenv.lock"
LOCK_TIMEOUT = 10.0  # seconds; fw_setenv holds it for some milliseconds
_EMMC_BOOT_PARTITION = re.compile(r"mmcblk[0-9]+boot[01]")


@dataclass(frozen=True, slots=True)
class _Loaded:
    number: int | None
    images: tuple[fmt.Image | None, ...]

    @property
    def image(self) -> fmt.Image:
        image = None if self.number is None else self.images[self.number]
        if image is None:
            raise BootEnvError(
                "bootenv.invalid",
                "no copy of the U-Boot environment is valid",
                details=f"{len(self.images)} read, all with a wrong checksum",
                resolution="check fw_env.config; on a new device let U-Boot write its environment once with saveenv",
            )
        return image


class UbootStore:
    """The variables of U-Boot. Implements ``variables.Store``.

    Args:
        copies: one or two, from ``fwenv_config.parse``.
        lock: the lock file of libubootenv.
        allow_single: accept an environment without a second copy, where a power cut during a write loses everything.
        sysfs: where sysfs is mounted.
        lock_timeout: seconds to wait for other programs.

    Raises:
        BootEnvError: ``bootenv.not-redundant``.
    """

    def __init__(
        self,
        copies: tuple[Copy, ...],
        *,
        lock: str = DEFAULT_LOCK,
        allow_single: bool = False,
        sysfs: str = "/sys",
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        if len(copies) < 2 and not allow_single:
            raise BootEnvError(
                "bootenv.not-redundant",
                "the U-Boot environment has only one copy",
                details="a power cut while it is written would leave none",
                resolution="enable CONFIG_SYS_REDUNDAND_ENVIRONMENT in U-Boot and name both copies in fw_env.config",
            )
        self._copies = copies
        self._redundant = len(copies) == 2
        self._lock = lock
        self._lock_timeout = lock_timeout
        self._sysfs = sysfs

    def load(self) -> Variables:
        """See Store."""
        with locked(self._lock, self._lock_timeout):
            return fmt.variables(self._load().image.entries)

    def update(self, plan: Plan) -> bool:
        """See Store; raises BootEnvError ``bootenv.invalid``, ``bootenv.full``, ``bootenv.io``, ``bootenv.write-failed``."""
        with locked(self._lock, self._lock_timeout):
            loaded = self._load()
            now = fmt.variables(loaded.image.entries)
            changes = effective(now, plan(now))
            if not changes:
                return False
            self._save(loaded, fmt.edited(loaded.image.entries, changes))
            return True

    def _load(self) -> _Loaded:
        images = tuple(fmt.decode(self._read(copy), redundant=self._redundant) for copy in self._copies)
        return _Loaded(fmt.current(images), images)

    def _save(self, loaded: _Loaded, entries: fmt.Entries) -> None:
        if self._redundant:
            number, flags = int(loaded.number == 0), (loaded.image.flags + 1) & 0xFF
            block = fmt.encode(entries, self._copies[0].size, flags=flags)
        else:
            number, block = 0, fmt.encode(entries, self._copies[0].size, flags=None)
        copy = self._copies[number]
        self._write(copy, block)
        if self._read(copy) != block:
            raise BootEnvError(
                "bootenv.write-failed",
                "the U-Boot environment was not stored as it was written",
                details=f"{copy.device} at {copy.offset:#x}",
                resolution="the device may be worn out or write protected",
                retryable=True,
            )

    def _read(self, copy: Copy) -> bytes:
        try:
            fd = os.open(copy.device, os.O_RDONLY | os.O_CLOEXEC)
            try:
                raw = os.pread(fd, copy.size, _offset(fd, copy))
            finally:
                os.close(fd)
        except OSError as error:
            raise io_failed("the U-Boot environment cannot be read", error) from error
        if len(raw) != copy.size:
            raise _outside(copy)
        return raw

    def _write(self, copy: Copy, block: bytes) -> None:
        try:
            with self._unprotected(copy.device):
                fd = os.open(copy.device, os.O_RDWR | os.O_SYNC | os.O_CLOEXEC)
                try:
                    written = os.pwrite(fd, block, _offset(fd, copy))
                    os.fsync(fd)
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # so that it is read back from the device
                finally:
                    os.close(fd)
        except OSError as error:
            raise io_failed("the U-Boot environment cannot be written", error) from error
        if written != len(block):
            raise _outside(copy)

    @contextmanager
    def _unprotected(self, device: str) -> Iterator[None]:
        """The kernel keeps the boot partitions of an eMMC read-only until they are unlocked in sysfs."""
        name = os.path.basename(os.path.realpath(device))
        switch = Path(self._sysfs, "class/block", name, "force_ro")
        if not _EMMC_BOOT_PARTITION.fullmatch(name) or switch.read_text().strip() != "1":
            yield
            return
        switch.write_text("0")
        try:
            yield
        finally:
            switch.write_text("1")


def _offset(fd: int, copy: Copy) -> int:
    """Resolves an offset from the end, and refuses what is neither a file nor a block device."""
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise BootEnvError(
            "bootenv.config-unsupported",
            "this kind of U-Boot environment is not supported",
            details=f"{copy.device} is neither a file nor a block device",
            resolution="keep the environment on a block device or in a file",
        )
    end = os.lseek(fd, 0, os.SEEK_END)
    offset = copy.offset if copy.offset >= 0 else end + copy.offset
    if not 0 <= offset <= end - copy.size:
        raise _outside(copy)
    return offset


def _outside(copy: Copy) -> BootEnvError:
    return BootEnvError(
        "bootenv.config-invalid",
        "the U-Boot environment does not fit where it should be",
        details=f"{copy.size} bytes at {copy.offset:#x} of {copy.device}",
        resolution="compare fw_env.config with the configuration of U-Boot",
    )
