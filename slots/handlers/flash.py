"""Slots on bare flash memory: ``nand``, ``nor``, and whole images for ``jffs2``.

NAND is written by ``flash_erase`` and ``nandwrite`` of mtd-utils and read by ``nanddump``: all three leave out bad blocks,
so the image lies in the good ones. A block that cannot be written is marked bad (``--markbad``), the image goes on in the
next one. When the good blocks end before the image, ``nandwrite`` ends with success: reading back finds that out. Other
memory is erased by ``flash_erase`` and written through its character device, like ``flashcp --erase-all`` does, which
cannot read from a stream.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from slots import ioctls, mtd
from slots.claim import lock
from slots.device import require_room, resolve
from slots.errors import SlotError
from slots.handlers.port import Content, Handler, Watch, Written
from slots.handlers.streams import CHUNK, chunks, differs, digest
from slots.model import Slot
from slots.programs import ENVIRONMENT, require, run
from slots.refusals import readonly, require_unused, running

_PROGRAMS = ("flash_erase", "nandwrite", "nanddump")
_SLOWEST = 16 * 1024  # bytes per second that are erased or read at the least
_WRITING = 24 * 3600.0  # seconds for the writer, which waits for the network as well
_PATIENCE = 60.0  # seconds for the reader to say something
_TYPES = {"nand": mtd.NAND, "nor": mtd.NOR, "jffs2": (*mtd.NAND, *mtd.NOR)}


_GET_BAD_BLOCK = ioctls.request("M", 11, 8, write=True, read=False)  # MEMGETBADBLOCK, mtd/mtd-abi.h; a 64-bit offset


class Chip(Protocol):
    """Flash memory, open. Offsets and lengths in bytes."""

    def lock(self) -> None:
        """Keeps other installers away; raises SlotError ``slot.busy``."""

    def bad(self, offset: int) -> bool:
        """Whether a block of NAND is bad or reserved; raises OSError."""

    def write(self, offset: int, data: bytes) -> int:
        """Programs erased bytes of what is not NAND, returns how many; raises OSError."""

    def read(self, offset: int, length: int) -> bytes:
        """What the chip holds where it is not NAND; raises OSError."""


class Opener(Protocol):
    """How a character device becomes a Chip: ``open_chip``."""

    def __call__(self, node: str, *, writable: bool) -> AbstractContextManager[Chip]:
        """See ``open_chip``."""


class _CharacterDevice:
    def __init__(self, fd: int, path: str) -> None:
        self._fd, self._path = fd, path

    def lock(self) -> None:
        lock(self._fd, self._path)

    def bad(self, offset: int) -> bool:
        answer: int = fcntl.ioctl(self._fd, _GET_BAD_BLOCK, bytearray(struct.pack("=q", offset)))
        return answer > 0

    def write(self, offset: int, data: bytes) -> int:
        return os.pwrite(self._fd, data, offset)  # reaches the chip before it returns: MTD has no cache, and no fsync

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)


@contextmanager
def open_chip(node: str, *, writable: bool) -> Iterator[Chip]:
    """Opens a character device of MTD; raises OSError."""
    fd = os.open(node, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        yield _CharacterDevice(fd, node)
    finally:
        os.close(fd)


class Flash:
    """Erases all, writes, reads back.

    Args:
        slot_type: ``nand``, ``nor`` or ``jffs2``.
        sysfs: where sysfs is mounted.
        proc: where procfs is mounted.
        opener: how a character device is opened.
    """

    def __init__(self, slot_type: str, *, sysfs: str = "/sys", proc: str = "/proc", opener: Opener = open_chip) -> None:
        self._types = _TYPES[slot_type]
        self._sysfs, self._proc, self._open = sysfs, proc, opener

    @property
    def resumable(self) -> bool:
        """See Handler."""
        return False

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        """See Handler.

        Raises:
            SlotError: ``slot.readonly``, ``slot.missing``, ``slot.device-ambiguous``, ``slot.mtd-type``,
                ``slot.unreadable``, ``slot.mounted``, ``slot.usage-unknown``, ``slot.too-small``, ``slot.program-missing``;
                for NAND also ``slot.open-failed``.
        """
        self._examined(slot, size, ())

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        """See Handler.

        Raises:
            SlotError: also ``slot.booted``, ``slot.busy``, ``slot.open-failed``, ``slot.program-failed``,
                ``slot.program-timeout``, ``slot.write-failed``, ``slot.read-failed``, ``slot.read-back``,
                ``slot.size-mismatch``.
        """
        if start:
            raise ValueError("flash memory is erased before it is written, so it is written from its start")
        memory = self._examined(slot, content.size, booted)
        with self._opened(slot, memory, writable=True) as chip:
            chip.lock()
            since = time.monotonic()
            if not slot.install_same and _held(memory, chip, content, watch) == content.sha256:
                return Written(content.sha256, 0, content.size, time.monotonic() - since)
            run("flash_erase", "--quiet", memory.node, "0", "0", timeout=60 + memory.size / _SLOWEST)
            if memory.type in mtd.NAND:
                _feed(memory.node, content, watch)
            else:
                _program(memory.node, chip, content, watch)
            since = time.monotonic()
            found = _held(memory, chip, content, watch)
        if found != content.sha256:
            raise differs(slot.name, found, content.sha256)
        return Written(found, content.size, 0, time.monotonic() - since)

    def _examined(self, slot: Slot, size: int, booted: Sequence[str]) -> mtd.Mtd:
        """The memory of the slot, after everything that forbids writing to it was ruled out."""
        path = resolve(slot.device)
        try:
            memory = mtd.look_at(path, sysfs=self._sysfs)
        except (OSError, ValueError) as error:
            raise SlotError(
                "slot.unreadable", "the device of a slot cannot be opened", details=f"{path}: {error}", retryable=True
            ) from error
        if memory is None or memory.type not in self._types:
            raise SlotError(
                "slot.mtd-type", f"the device of slot {slot.name} is no flash memory of the slot's type",
                details=f"{path} is {memory.type if memory else 'no MTD device'}, expected {' or '.join(self._types)}",
                resolution="correct the slot's device or type in the configuration",
            )  # fmt: skip
        if slot.readonly or not memory.writable:
            why = "the configuration says so" if slot.readonly else f"{memory.node} is write-protected"
            raise readonly(slot, why)
        if memory.number in {mtd.number_of(device) for device in booted if device.startswith("/")}:
            raise running(slot, memory.node)
        require_unused(slot, memory.node, lambda: mtd.user(memory, proc=self._proc, sysfs=self._sysfs))
        require_room(slot, size, self._room(slot, memory))
        require(*(_PROGRAMS if memory.type in mtd.NAND else _PROGRAMS[:1]))
        return memory

    def _room(self, slot: Slot, memory: mtd.Mtd) -> int:
        """Bytes in good blocks. Asked block by block: sysfs does not count a block whose marking did not quite succeed."""
        if memory.type not in mtd.NAND:
            return memory.size
        with self._opened(slot, memory, writable=False) as chip:
            good = sum(not chip.bad(offset) for offset in range(0, memory.size, memory.erase_size))
        return good * memory.erase_size

    @contextmanager
    def _opened(self, slot: Slot, memory: mtd.Mtd, *, writable: bool) -> Iterator[Chip]:
        with ExitStack() as stack:
            try:
                chip = stack.enter_context(self._open(memory.node, writable=writable))
                if memory.type in mtd.NAND:
                    chip.bad(0)
            except OSError as error:
                raise SlotError(
                    "slot.open-failed", f"slot {slot.name} cannot be opened",
                    details=f"{memory.node}: {error.strerror}", retryable=True,
                ) from error  # fmt: skip
            yield chip


def _held(memory: mtd.Mtd, chip: Chip, content: Content, watch: Watch) -> str:
    """The digest of what is where an image of this size would be."""
    if memory.type in mtd.NAND:
        return digest(_dumped(memory.node, content.size), watch.checked)
    return digest(_read(memory.node, chip, content.size), watch.checked)


def _feed(node: str, content: Content, watch: Watch) -> None:
    def told() -> Iterator[bytes]:
        done = 0
        for chunk in chunks(content.pieces(0), content.size):
            yield chunk
            done += len(chunk)
            watch.wrote(done)

    run("nandwrite", "--pad", "--markbad", "--quiet", node, "-", timeout=_WRITING, feed=told())


def _dumped(node: str, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of the good blocks; ``nanddump`` gives whole pages."""
    argv = ("nanddump", "--quiet", "--omitoob", "--bb=skipbad", f"--length={size}", node)
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT, cwd="/"
    )
    left = size
    with process:
        try:
            poll = select.poll()
            poll.register(process.stdout or -1, select.POLLIN)
            while process.stdout is not None:
                piece = os.read(process.stdout.fileno(), CHUNK) if poll.poll(_PATIENCE * 1000) else b""
                if not piece:
                    break
                if left:
                    yield piece[:left]
                left -= min(left, len(piece))
        finally:
            process.kill()
    if left:
        raise _unread(node, size - left, "the good blocks end there")


def _program(node: str, chip: Chip, content: Content, watch: Watch) -> None:
    done = 0
    for chunk in chunks(content.pieces(0), content.size):
        while chunk:
            try:
                count = chip.write(done, chunk)
            except OSError as error:
                count, reason = 0, error.strerror or str(error)
            else:
                reason = "the device took no bytes"
            if count <= 0:
                raise SlotError(
                    "slot.write-failed", "the slot could not be written",
                    details=f"{node}, offset {done} of {content.size}: {reason}",
                    resolution="it is tried again; if this repeats, the memory is worn out", retryable=True,
                )  # fmt: skip
            done, chunk = done + count, chunk[count:]
        watch.wrote(done)


def _read(node: str, chip: Chip, size: int) -> Iterator[bytes]:
    done = 0
    while done < size:
        try:
            piece = chip.read(done, min(CHUNK, size - done))
        except OSError as error:
            raise _unread(node, done, error.strerror or str(error)) from error
        if not piece:
            raise _unread(node, done, "it ends there")
        yield piece
        done += len(piece)


def _unread(node: str, offset: int, reason: str) -> SlotError:
    return SlotError(
        "slot.read-failed", "the slot could not be read back", details=f"{node}, offset {offset}: {reason}",
        resolution="it is tried again; if this repeats, the memory is worn out", retryable=True,
    )  # fmt: skip


def handler(slot_type: str) -> Handler:
    """The handler for one of ``nand``, ``nor`` and ``jffs2``."""
    return Flash(slot_type)
