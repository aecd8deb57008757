"""Flash and UBI volumes in memory, with the rules of the hardware and of the kernel, and a power cut at any step.

NOR and NAND: erasing sets all bits of a block, programming only clears bits. NAND: pages are programmed whole, once after an
erase, and blocks can be bad or go bad. A cut leaves what was being erased or programmed in any state between.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bootloader_env.fwenv_config import Copy
from bootloader_env.media import Medium
from bootloader_env.mtd import Geometry, MtdMedium
from bootloader_env.ubi import UbiMedium, VolumeInfo
from bootloader_env.uboot import UbootStore

NOR_CHUNK = 64  # bytes that are programmed at a time


class PowerCut(BaseException):
    """The device is off. No ``except Exception`` can go on."""


@dataclass
class Power:
    """Counts the steps that change a medium, and ends one of them half way."""

    cut_at: int = 0
    steps: int = 0
    chooser: random.Random = field(default_factory=lambda: random.Random(0))

    def fails_now(self) -> bool:
        self.steps += 1
        return self.steps == self.cut_at


class MemoryFlash:
    """Implements ``bootloader_env.mtd.Flash``."""

    def __init__(self, power: Power, *, nand: bool, blocks: int = 8, erase_size: int = 0x400, page: int = 1) -> None:
        self.shape = Geometry(nand, blocks * erase_size, erase_size, page, not nand)
        self.data = bytearray(b"\xff" * self.shape.size)
        self.bad: set[int] = set()
        self.worn: set[int] = set()  # blocks that can no longer be erased
        self.locked: set[int] = set()
        self.can_lock = False
        self.erased = 0
        self._programmed: set[int] = set()
        self._power = power
        self._writable = False

    @contextmanager
    def opened(self, writable: bool) -> Iterator[MemoryFlash]:
        self._writable = writable
        try:
            yield self
        finally:
            self._writable = False

    def geometry(self) -> Geometry:
        return self.shape

    def is_bad(self, start: int) -> bool:
        assert self.shape.nand and start % self.shape.erase_size == 0
        return start in self.bad

    def read(self, start: int, length: int) -> bytes:
        assert start >= 0 and start + length <= self.shape.size
        return bytes(self.data[start : start + length])

    def unlock(self, start: int, length: int) -> None:
        self.locked.difference_update(range(start, start + length, self.shape.erase_size))

    def lock(self, start: int, length: int) -> None:
        if self.can_lock:
            self.locked.update(range(start, start + length, self.shape.erase_size))

    def erase(self, start: int, length: int) -> None:
        size = self.shape.erase_size
        assert start % size == 0 and length % size == 0
        for block in range(start, start + length, size):
            self._allowed(block)
            if block in self.bad or block in self.worn:
                raise OSError(errno.EIO, "erase failed")
            where = slice(block, block + size)
            if self._power.fails_now():
                self.data[where] = self._between(self.data[where], b"\xff" * size)
                raise PowerCut
            self.data[where] = b"\xff" * size
            self._programmed.difference_update(range(block, block + size))
            self.erased += 1

    def program(self, start: int, data: bytes) -> None:
        page = self.shape.write_size
        assert start % page == 0 and len(data) % page == 0
        step = page if page > 1 else NOR_CHUNK
        for at in range(start, start + len(data), step):
            piece = data[at - start :][:step]
            self._allowed(at - at % self.shape.erase_size)
            if self.shape.nand:
                assert at not in self._programmed, "a page of NAND is programmed once after an erase"
                self._programmed.add(at)
            where = slice(at, at + len(piece))
            target = bytes(old & new for old, new in zip(self.data[where], piece, strict=True))
            if self._power.fails_now():
                self.data[where] = self._between(self.data[where], target)
                raise PowerCut
            self.data[where] = target

    def _allowed(self, block: int) -> None:
        assert self._writable
        if block in self.locked:
            raise OSError(errno.EROFS, "the block is locked")

    def _between(self, old: bytes, new: bytes) -> bytes:
        """Untouched, complete, or each bit on its way at random."""
        kind = self._power.chooser.randrange(4)
        if kind < 2:
            return (bytes(old), new)[kind]
        mask = self._power.chooser.randbytes(len(old))
        return bytes((a & m) | (b & ~m & 0xFF) for a, b, m in zip(old, new, mask, strict=True))


class MemoryVolume:
    """Implements ``bootloader_env.ubi.Volume``."""

    def __init__(self, power: Power, *, leb_size: int = 0x1000, blocks: int = 2, dynamic: bool = True) -> None:
        self.data = bytearray(b"\xff" * leb_size * blocks)
        self.damaged = False
        self.exchanges = self.updates = 0
        self._leb_size = leb_size
        self._dynamic = dynamic
        self._power = power

    def info(self) -> VolumeInfo:
        return VolumeInfo(self._dynamic, self._leb_size, len(self.data), self.damaged)

    def read(self, length: int) -> bytes:
        if self.damaged:
            raise OSError(errno.EBADF, "the update mark is set")
        return bytes(self.data[:length])

    def exchange(self, data: bytes) -> None:
        assert self._dynamic and len(data) <= self._leb_size
        assert not self.damaged, "it would stay damaged"
        cut = self._power.fails_now()
        if not cut or self._power.chooser.random() < 0.5:
            self.data[: self._leb_size] = data.ljust(self._leb_size, b"\xff")
        if cut:
            raise PowerCut
        self.exchanges += 1

    def update(self, data: bytes) -> None:
        assert len(data) <= len(self.data)
        self._step()
        self.damaged = True
        self._step()
        self.data[:] = b"\xff" * len(self.data)
        for at in range(0, len(data), self._leb_size):
            self._step()
            piece = data[at : at + self._leb_size]
            self.data[at : at + len(piece)] = piece
        self._step()
        self.damaged = False
        self.updates += 1

    def _step(self) -> None:
        if self._power.fails_now():
            raise PowerCut


class Bench:
    """A redundant environment in memory: which medium, and the way to it.

    Args:
        kind: ``nor``, ``nand`` (with bad blocks), ``ubi`` (a copy fits into one block) or ``ubi-large``.
        lock: a lock file.
        size: bytes of the environment.
    """

    KINDS = ("nor", "nand", "ubi", "ubi-large")

    def __init__(self, kind: str, lock: str, size: int = 0x800) -> None:
        self.power = Power()
        self.size = size
        self.flash = MemoryFlash(self.power, nand=kind == "nand", page=256 if kind == "nand" else 1, blocks=12)
        leb = size // 2 if kind == "ubi-large" else size
        self.volumes = [MemoryVolume(self.power, leb_size=leb) for _ in range(2)]
        self.copies = (Copy("/dev/mtd0", 0, size, 0x400, 5), Copy("/dev/mtd0", 0x1800, size, 0x400, 5))
        if kind == "nand":
            self.flash.bad = {0x0, 0x800, 0x1C00}
        if kind.startswith("ubi"):
            self.copies = (Copy("/dev/ubi0_0", 0, size), Copy("/dev/ubi0_1", 0, size))
        self.store = UbootStore(self.copies, lock=lock, open_medium=self.medium)

    def medium(self, copy: Copy) -> Medium:
        if copy.device.startswith("/dev/ubi"):
            return UbiMedium(copy, copy.device, self.volumes[int(copy.device[-1])])
        return MtdMedium(copy, "90:0", self.flash.opened)

    def fill(self, first: bytes, second: bytes) -> None:
        """Puts images into both copies as a factory does."""
        for copy, image in zip(self.copies, (first, second), strict=True):
            self.medium(copy).write(image)

    def raw(self) -> tuple[bytes, bytes]:
        first, second = (self.medium(copy).read() for copy in self.copies)
        return first, second

    def saved(self) -> object:
        """All that survives a power cut."""
        volumes = tuple((bytes(volume.data), volume.damaged) for volume in self.volumes)
        return bytes(self.flash.data), frozenset(self.flash._programmed), volumes

    def restore(self, saved: object) -> None:
        flash, programmed, volumes = saved  # type: ignore[misc]
        self.flash.data[:] = flash
        self.flash._programmed = set(programmed)
        for volume, (data, damaged) in zip(self.volumes, volumes, strict=True):
            volume.data[:], volume.damaged = data, damaged
