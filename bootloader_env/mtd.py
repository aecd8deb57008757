"""A copy of the U-Boot environment in NOR or NAND flash.

A flash is erased by blocks, which sets all bits, and programming only clears them. A copy begins at an erase block. In NAND
blocks may be bad: they are passed over, as U-Boot does, within the sectors that belong to the copy. What else lies in the
last block of a copy is kept. Sources: U-Boot's ``env/nand.c``, ``env/sf.c`` and ``env/flash.c``, libubootenv's ``uboot_mtd.c``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from bootloader_env.errors import BootEnvError
from bootloader_env.fwenv_config import Copy
from bootloader_env.media import Span, invalid, outside, unsupported
from bootloader_env.uboot_format import FLAGS_AT, OBSOLETE, Scheme

_BLANK = b"\xff"


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a flash is like; sizes in bytes.

    Attributes:
        nand: NAND, where blocks can be bad; else NOR.
        size: of the whole device.
        erase_size: of a block.
        write_size: of the smallest unit that can be programmed: a page of NAND, mostly 1 in NOR.
        bit_writable: whether bits of what is programmed already can be cleared.
    """

    nand: bool
    size: int
    erase_size: int
    write_size: int
    bit_writable: bool


class Flash(Protocol):
    """An MTD device. All methods raise OSError when the device fails; sizes and places are in bytes."""

    def geometry(self) -> Geometry:
        """What the flash is like; raises BootEnvError ``bootenv.config-unsupported`` for other memories."""
        ...

    def is_bad(self, start: int) -> bool:
        """Whether the block that begins there is marked bad."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Reads exactly so many bytes."""
        ...

    def unlock(self, start: int, length: int) -> None:
        """Lifts the protection of blocks; nothing happens where there is none."""
        ...

    def lock(self, start: int, length: int) -> None:
        """Protects blocks; nothing happens where that is not possible."""
        ...

    def erase(self, start: int, length: int) -> None:
        """Erases blocks."""
        ...

    def program(self, start: int, data: bytes) -> None:
        """Programs whole write units."""
        ...


Opener = Callable[[bool], AbstractContextManager[Flash]]


class MtdMedium:
    """A copy in flash. Implements ``media.Medium``.

    Args:
        copy: where it is.
        device: which flash it is, the same for all its names.
        opener: opens the flash, for writing or not.

    Raises:
        BootEnvError: ``bootenv.config-invalid`` when the flash has other blocks than described, and as ``Flash.geometry``.
        OSError: the device is missing or fails.
    """

    def __init__(self, copy: Copy, device: str, opener: Opener) -> None:
        self._copy = copy
        self._open = opener
        with opener(False) as flash:
            self._geometry = flash.geometry()
        block = self._geometry.erase_size
        if copy.sector_size % block or copy.offset % block:
            raise invalid(f"{copy.device} has erase blocks of {block:#x} bytes, at which a copy begins and ends")
        blocks = (copy.sectors or 1) * copy.sector_size // block
        needed = -(-copy.size // block)
        self._end = copy.offset + max(blocks, needed) * block
        if copy.offset < 0 or self._end > self._geometry.size:
            raise outside(copy)
        self._span = Span(f"mtd {device}", copy.offset, self._end)

    @property
    def scheme(self) -> Scheme:
        """See Medium.

        Raises:
            BootEnvError: ``bootenv.config-unsupported`` for NOR flash in which no byte can be changed once it is programmed.
        """
        if self._geometry.nand:
            return Scheme.INCREMENTAL
        if self._geometry.write_size > 1 or not self._geometry.bit_writable:
            raise unsupported(
                f"{self._copy.device} has ECC over units of {self._geometry.write_size} bytes, so that the old copy cannot be "
                "marked obsolete in its place, as U-Boot does in NOR flash",
                "keep the environment in UBI volumes on this flash",
            )
        return Scheme.BOOLEAN

    @property
    def span(self) -> Span:
        """See Medium."""
        return self._span

    def read(self) -> bytes:
        """See Medium; empty when there are too many bad blocks, for which U-Boot takes the other copy, too."""
        left = self._copy.size
        pieces: list[bytes] = []
        with self._open(False) as flash:
            for start in self._blocks(flash):
                pieces.append(flash.read(start, min(left, self._geometry.erase_size)))
                left -= len(pieces[-1])
        return b"" if left else b"".join(pieces)

    def write(self, block: bytes) -> None:
        """See Medium; raises BootEnvError ``bootenv.bad-blocks``, and then nothing was erased."""
        size = self._geometry.erase_size
        with self._open(True) as flash:
            starts = tuple(self._blocks(flash))
            if len(starts) * size < len(block):
                raise BootEnvError(
                    "bootenv.bad-blocks",
                    "too many blocks of the flash are bad where the U-Boot environment should be",
                    details=f"{len(starts)} good blocks of {size:#x} bytes in {self._copy.device} at {self._copy.offset:#x}",
                    resolution="give the environment spare blocks: CONFIG_ENV_RANGE of U-Boot, sectors in fw_env.config",
                )
            for number, start in enumerate(starts):
                content = block[number * size : (number + 1) * size]
                rest = flash.read(start + len(content), size - len(content)) if len(content) < size else b""
                with self._unlocked(flash, start):
                    flash.erase(start, size)
                    flash.program(start, self._padded((content + rest).rstrip(_BLANK)))

    def retire(self) -> None:
        """See Medium; NOR only, where the flags are in the first block and one write unit."""
        with self._open(True) as flash, self._unlocked(flash, self._copy.offset):
            flash.program(self._copy.offset + FLAGS_AT, bytes([OBSOLETE]))

    def _blocks(self, flash: Flash) -> Iterator[int]:
        """Yields where the blocks begin that hold the copy, as far as there are enough."""
        block = self._geometry.erase_size
        needed = -(-self._copy.size // block)
        for start in range(self._copy.offset, self._end, block):
            if needed and not (self._geometry.nand and flash.is_bad(start)):
                needed -= 1
                yield start

    def _padded(self, data: bytes) -> bytes:
        return data + _BLANK * (-len(data) % self._geometry.write_size)

    @contextmanager
    def _unlocked(self, flash: Flash, start: int) -> Iterator[None]:
        if self._copy.disable_lock:
            yield
            return
        flash.unlock(start, self._geometry.erase_size)
        try:
            yield
        finally:
            flash.lock(start, self._geometry.erase_size)
