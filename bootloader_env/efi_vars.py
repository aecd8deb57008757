"""EFI variables in efivarfs. One ``write`` is one SetVariable of the firmware, which is atomic by its specification.

The kernel marks variables as immutable unless it knows that a wrong value does no harm (fs/efivarfs, ``efivar_validate``);
the mark is taken off for the write and put back.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bootloader_env import efi_format as fmt
from bootloader_env.errors import BootEnvError, io_failed

DIRECTORY = "/sys/firmware/efi/efivars"
# include/uapi/linux/fs.h: _IOR('f', 1, long), _IOW('f', 2, long); the kernel reads and writes an int.
_GETFLAGS = (2 << 30) | (struct.calcsize("l") << 16) | (ord("f") << 8) | 1
_SETFLAGS = (1 << 30) | (struct.calcsize("l") << 16) | (ord("f") << 8) | 2
_IMMUTABLE = 0x10  # FS_IMMUTABLE_FL


class EfiVars:
    """The variables.

    Args:
        directory: where efivarfs is mounted. Any directory with files of the same format will do, as for libefivar.
    """

    def __init__(self, directory: str = DIRECTORY) -> None:
        self._directory = directory

    def names(self, pattern: str, vendor: str = fmt.GLOBAL) -> Iterator[str]:
        """Yields the names of variables that match a regular expression; raises BootEnvError ``bootenv.efi-missing``."""
        wanted = re.compile(rf"({pattern})-{vendor}")
        try:
            found = sorted(os.listdir(self._directory))
        except OSError as error:
            raise BootEnvError(
                "bootenv.efi-missing", "the variables of the firmware cannot be reached", details=str(error),
                resolution="boot through UEFI, and mount efivarfs on /sys/firmware/efi/efivars",
            ) from error  # fmt: skip
        for name in found:
            if match := wanted.fullmatch(name):
                yield match[1]

    def read(self, name: str, vendor: str = fmt.GLOBAL) -> bytes | None:
        """Returns the data of a variable; None when there is none.

        Raises:
            BootEnvError: ``bootenv.io``, ``bootenv.efi-invalid``.
        """
        try:
            fd = os.open(self._path(name, vendor), os.O_RDONLY | os.O_CLOEXEC)
            try:
                raw = os.read(fd, fmt.MAX_VARIABLE)  # at once: the kernel asks the firmware anew for each read
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise io_failed(f"the firmware's variable {name} cannot be read", error) from error
        if len(raw) < 4:
            raise fmt.invalid(f"{name} has {len(raw)} bytes")
        return raw[4:]

    def write(self, name: str, data: bytes, vendor: str = fmt.GLOBAL) -> None:
        """Sets a variable and reads it back; raises BootEnvError ``bootenv.io``, ``bootenv.write-failed``."""
        path = self._path(name, vendor)
        raw = fmt.ATTRIBUTES.to_bytes(4, "little") + data
        try:
            with _mutable(path):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    if os.write(fd, raw) != len(raw):
                        raise OSError("the firmware took only a part")
                    if os.fstat(fd).st_size > len(raw):  # in efivarfs the file ends with the data
                        os.ftruncate(fd, len(raw))
                finally:
                    os.close(fd)
        except OSError as error:
            raise io_failed(f"the firmware's variable {name} cannot be set", error) from error
        self._check(name, vendor, data)

    def delete(self, name: str, vendor: str = fmt.GLOBAL) -> None:
        """Deletes a variable, if there is one; raises BootEnvError ``bootenv.io``, ``bootenv.write-failed``."""
        path = self._path(name, vendor)
        try:
            with _mutable(path), suppress(FileNotFoundError):
                os.unlink(path)
        except OSError as error:
            raise io_failed(f"the firmware's variable {name} cannot be deleted", error) from error
        self._check(name, vendor, None)

    def _check(self, name: str, vendor: str, data: bytes | None) -> None:
        if self.read(name, vendor) != data:
            raise BootEnvError(
                "bootenv.write-failed", "the firmware did not keep a boot variable as it was set", details=name,
                resolution="update the firmware; some forget variables when their storage is full", retryable=True,
            )  # fmt: skip

    def _path(self, name: str, vendor: str) -> str:
        return os.path.join(self._directory, f"{name}-{vendor}")


@contextmanager
def _mutable(path: str) -> Iterator[None]:
    flags = 0
    with suppress(FileNotFoundError):
        flags = _flags(path)
    if not flags & _IMMUTABLE:
        yield
        return
    _set_flags(path, flags & ~_IMMUTABLE)
    try:
        yield
    finally:
        with suppress(OSError):  # it may have been deleted
            _set_flags(path, flags)


def _flags(path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int.from_bytes(fcntl.ioctl(fd, _GETFLAGS, bytes(struct.calcsize("l")))[:4], "little")
    except OSError:  # a file system without such flags has no immutable files
        return 0
    finally:
        os.close(fd)


def _set_flags(path: str, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _SETFLAGS, struct.pack("l", flags))
    finally:
        os.close(fd)
