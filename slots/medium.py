"""How bytes get onto the medium of an open slot: only where it holds others already, zeros cheaply, and surely.

Flash wears by being written. Two versions of an image are often the same in long stretches, so that looking first spares
writes, and time too, since flash reads several times faster than it writes. Where nothing is the same, looking would only
cost: after each buffer that differs twice as many are written without looking, up to ``_BLIND``.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

from slots import ioctls
from slots.device import Target
from slots.errors import SlotError

BUFFER = 512 * 1024  # bytes that are written at once; smaller ones cost calls, larger ones memory
ALIGNMENT = (
    4096  # bytes; O_DIRECT wants multiples of the logical block size (open(2), Notes), which this is for all devices
)
_BLIND = 31  # buffers
_STEP = 64 * 1024  # bytes that are compared at once
_BLKZEROOUT = ioctls.request(0x12, 127, 0, write=False, read=False)  # linux/fs.h; takes offset and length as two u64


class Medium:
    """Writes to an open slot, for one thread.

    Args:
        target: the slot.
        size: of the image, in bytes, for messages.

    Attributes:
        written: bytes that went to the medium, zeros included.
        skipped: bytes that were there already.
    """

    def __init__(self, target: Target, size: int) -> None:
        self.written = self.skipped = 0
        self._target, self._size = target, size
        self._found = memoryview(mmap.mmap(-1, _STEP))
        self._step = bytearray(_STEP)  # bytearray compares with memcmp(3), memoryview item by item
        self._zeros = memoryview(bytes(_STEP))
        self._blind = self._patience = 0  # buffers to be written without looking: now, and after the next that differs

    def put(self, data: memoryview, offset: int) -> None:
        """Makes the medium hold whole blocks.

        Args:
            data: at most ``BUFFER`` bytes, a multiple of 4096, in memory aligned to 4096.
            offset: in bytes, a multiple of 4096.

        Raises:
            SlotError: ``slot.write-failed``.
        """
        count = len(data)
        if self._blind:
            self._blind -= 1
        elif self._holds(data, offset):
            self._patience = 0
            self.skipped += count
            return
        else:
            self._blind = self._patience
            self._patience = min(2 * self._patience + 1, _BLIND)
        if not (self._all_zero(data) and self._zero(offset, count)):
            self._write(data, offset)
        self.written += count

    def put_end(self, data: memoryview, count: int, offset: int) -> None:
        """Makes the medium hold the end of the image; bytes behind it may become zero, up to the next 4096.

        Args:
            data: a buffer of a multiple of 4096 bytes, aligned; what follows ``count`` is overwritten.
            count: bytes of the image in it.
            offset: in bytes, a multiple of 4096.

        Raises:
            SlotError: ``slot.write-failed``.
        """
        whole = count // ALIGNMENT * ALIGNMENT
        padded = whole if whole == count else whole + ALIGNMENT
        if not self._target.direct:
            self._write(data[:count], offset)
        elif self._target.block and offset + padded <= self._target.capacity:
            data[count:padded] = bytes(padded - count)
            self._write(data[:padded], offset)
        else:  # there is no room for a whole block, so that the last bytes go by the cache
            self._write(data[:whole], offset)
            if whole < count:
                self._uncached(False)
                self._write(data[whole:count], offset + whole)
                self.sync(offset + count)
                self._uncached(True)
        self.written += count

    def sync(self, offset: int) -> None:
        """Returns when everything that was put is on the medium; ``offset`` is for the message."""
        try:
            os.fsync(self._target.fd)
        except OSError as error:
            raise self._failed(offset, f"fsync: {error.strerror}") from error

    def _holds(self, data: memoryview, offset: int) -> bool:
        """Looks at the medium; the first difference ends it."""
        for at in range(0, len(data), _STEP):
            part = data[at : at + _STEP]
            found = self._found[: len(part)]
            try:
                if os.preadv(self._target.fd, [found], offset + at) != len(part):
                    return False
            except OSError:
                return False  # a sector that cannot be read may be mended by writing it
            if not self._equal(part, found):
                return False
        return True

    def _all_zero(self, data: memoryview) -> bool:
        return all(
            self._equal(part, self._zeros[: len(part)])
            for part in (data[at : at + _STEP] for at in range(0, len(data), _STEP))
        )

    def _equal(self, part: memoryview, other: memoryview) -> bool:
        step = self._step if len(part) == _STEP else bytearray(len(part))
        step[:] = other
        return step == part

    def _zero(self, offset: int, count: int) -> bool:
        """Lets the device make zeros by itself, often without a write; the kernel writes them where it cannot."""
        if not self._target.block:
            return False
        try:
            fcntl.ioctl(self._target.fd, _BLKZEROOUT, struct.pack("=QQ", offset, count))
        except OSError:
            return False
        return True

    def _write(self, data: memoryview, offset: int) -> None:
        while data:
            try:
                count = os.pwrite(self._target.fd, data, offset)
            except OSError as error:
                raise self._failed(offset, error.strerror or str(error)) from error
            if count <= 0:
                raise self._failed(offset, "the device took no bytes")
            offset += count
            data = data[count:]

    def _uncached(self, direct: bool) -> None:
        flags = fcntl.fcntl(self._target.fd, fcntl.F_GETFL)
        fcntl.fcntl(self._target.fd, fcntl.F_SETFL, flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT)

    def _failed(self, offset: int, reason: str) -> SlotError:
        return SlotError(
            "slot.write-failed", "the slot could not be written",
            details=f"{self._target.path}, offset {offset} of {self._size}: {reason}",
            resolution="it is tried again; if this repeats, the storage is failing or full", retryable=True,
        )  # fmt: skip
