"""MTD devices and UBI volumes of the kernel: nothing but its system calls.

Sources: ``include/uapi/mtd/mtd-abi.h``, ``include/uapi/mtd/ubi-user.h``, ``include/uapi/asm-generic/ioctl.h``,
``Documentation/ABI/stable/sysfs-class-ubi``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootloader_env.media import unsupported
from bootloader_env.mtd import Geometry
from bootloader_env.ubi import VolumeInfo

_NOR, _NAND, _MLC_NAND = 3, 4, 8
_BIT_WRITABLE = 0x800
_INFO = struct.Struct("=B3xIIIIIQ")
_ERASE = struct.Struct("=II")
_OFFSET = struct.Struct("=q")
_LEB_CHANGE = struct.Struct("=iib7x")
# include/linux/errno.h; NAND without protection says it: nand_lock in drivers/mtd/nand/raw/nand_base.c.
_ENOTSUPP = 524
_UNPROTECTED = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, _ENOTSUPP)
_DTYPE = 3  # "pass 3 for better compatibility with old kernels"


def request(direction: str, kind: str, number: int, size: int, machine: str = "") -> int:
    """Returns the number of an ioctl, ``_IOR`` or ``_IOW``, for a machine as uname(2) names it; empty: this one."""
    swapped = re.match(r"mips|ppc|powerpc|sparc|alpha", machine or os.uname().machine)
    read, write, bits = (2, 4, 13) if swapped else (2, 1, 14)
    return (read if direction == "R" else write) << (16 + bits) | size << 16 | ord(kind) << 8 | number


class MtdDevice:
    """An open MTD device. Implements ``mtd.Flash``.

    Args:
        fd: of the device; it is not closed here.
        path: for messages.
    """

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def geometry(self) -> Geometry:
        """See Flash."""
        raw = bytearray(_INFO.size)
        fcntl.ioctl(self._fd, request("R", "M", 1, len(raw)), raw)  # MEMGETINFO
        kind, flags, size, erase_size, write_size, _oob, _ = _INFO.unpack(raw)
        if kind not in (_NOR, _NAND, _MLC_NAND) or not erase_size or not write_size:
            raise unsupported(f"{self._path} is neither NOR nor NAND flash", "name the flash that U-Boot uses")
        return Geometry(kind != _NOR, size, erase_size, write_size, bool(flags & _BIT_WRITABLE))

    def is_bad(self, start: int) -> bool:
        """See Flash."""
        where = bytearray(_OFFSET.pack(start))  # with bytes, Python would not tell what the system call returned
        answer: int = fcntl.ioctl(self._fd, request("W", "M", 11, len(where)), where)  # MEMGETBADBLOCK
        return answer > 0

    def read(self, start: int, length: int) -> bytes:
        """See Flash; the kernel corrects what it can, and the CRC of the environment finds the rest."""
        data = os.pread(self._fd, length, start)
        if len(data) != length:
            raise OSError(errno.EIO, "the flash gave fewer bytes than it holds", self._path)
        return data

    def unlock(self, start: int, length: int) -> None:
        """See Flash."""
        self._protect(6, start, length)  # MEMUNLOCK

    def lock(self, start: int, length: int) -> None:
        """See Flash."""
        self._protect(5, start, length)  # MEMLOCK

    def erase(self, start: int, length: int) -> None:
        """See Flash."""
        fcntl.ioctl(self._fd, request("W", "M", 2, _ERASE.size), _ERASE.pack(start, length))  # MEMERASE

    def program(self, start: int, data: bytes) -> None:
        """See Flash."""
        if os.pwrite(self._fd, data, start) != len(data):
            raise OSError(errno.EIO, "the flash took only a part of the environment", self._path)

    def _protect(self, number: int, start: int, length: int) -> None:
        """Many chips have no such protection, or none for single blocks; U-Boot's tools ignore that, too."""
        try:
            fcntl.ioctl(self._fd, request("W", "M", number, _ERASE.size), _ERASE.pack(start, length))
        except OSError as error:
            if error.errno not in _UNPROTECTED:
                raise


@contextmanager
def opened_flash(path: str, *, writable: bool) -> Iterator[MtdDevice]:
    """Opens an MTD device for a while.

    Raises:
        OSError: it is missing, or may not be written.
    """
    fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        yield MtdDevice(fd, path)
    finally:
        os.close(fd)


class UbiVolume:
    """A UBI volume. Implements ``ubi.Volume``.

    Args:
        path: its character device.
        home: its directory in sysfs.
    """

    def __init__(self, path: str, home: str) -> None:
        self._path = path
        self._home = home

    def info(self) -> VolumeInfo:
        """See Volume."""
        leb_size, blocks = int(self._text("usable_eb_size")), int(self._text("reserved_ebs"))
        damaged = self._text("upd_marker") != "0" or self._text("corrupted") != "0"
        return VolumeInfo(self._text("type") == "dynamic", leb_size, leb_size * blocks, damaged)

    def read(self, length: int) -> bytes:
        """See Volume."""
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, length, 0)
        finally:
            os.close(fd)

    def exchange(self, data: bytes) -> None:
        """See Volume. The number of the ioctl has the size of an integer, not of what is passed."""
        self._replace(request("W", "O", 2, 4), _LEB_CHANGE.pack(0, len(data), _DTYPE), data)  # UBI_IOCEBCH

    def update(self, data: bytes) -> None:
        """See Volume."""
        self._replace(request("W", "O", 0, 8), _OFFSET.pack(len(data)), data)  # UBI_IOCVOLUP

    def _replace(self, number: int, argument: bytes, data: bytes) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, number, argument)
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
        finally:
            os.close(fd)

    def _text(self, name: str) -> str:
        return Path(self._home, name).read_text().strip()
