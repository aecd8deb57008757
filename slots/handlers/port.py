"""What stands between the installer and the handlers of slots: an image, somebody who watches, a handler, the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from slots.model import Slot


@dataclass(frozen=True, slots=True)
class Content:
    """One image of a bundle. Its bytes are verified as they are read.

    Attributes:
        name: of the file, for messages; empty for ``emptyfs``.
        kind: the image type, one of ``slots.handlers.table.KINDS``.
        size: in bytes; 0 for ``emptyfs``.
        sha256: in hexadecimal; empty for ``emptyfs``.
        pieces: gives the bytes from an offset on, in pieces of any size.
    """

    name: str
    kind: str
    size: int
    sha256: str
    pieces: Callable[[int], Iterable[bytes | memoryview]]


class Watch(Protocol):
    """Is told how far the work is, in bytes of the image."""

    def wrote(self, done: int) -> None:
        """So much of the image was given to the slot."""

    def checked(self, done: int) -> None:
        """So much of the image was read back."""

    def checkpoint(self, offset: int) -> None:
        """Everything before this offset is surely on the medium: ``start`` of another try may be there."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it.

    Attributes:
        digest: SHA-256, in hexadecimal, of what the medium gave back; for an archive that of the stream, after every file
            was compared; empty for ``emptyfs``.
        written: bytes that went to the medium.
        skipped: bytes that were there already.
        read_back_seconds: how much of the time was spent on looking at the outcome.
    """

    digest: str
    written: int
    skipped: int
    read_back_seconds: float


class Handler(Protocol):
    """One way of getting an image into a slot."""

    @property
    def resumable(self) -> bool:
        """Whether it gives checkpoints, and can start at one."""

    def preflight(self, slot: Slot, kind: str, size: int) -> None:
        """Rules out whatever can be ruled out without touching the slot.

        Args:
            slot: where the image goes.
            kind: the image type.
            size: of the image, in bytes; 0 for ``emptyfs``.

        Raises:
            SlotError: the device is missing, in use, write-protected or too small; a program or the kernel's support is
                missing.
        """

    def install(self, slot: Slot, content: Content, *, booted: Sequence[str], start: int, watch: Watch) -> Written:
        """Fills the slot and looks at what the medium then holds.

        Everything that ``preflight`` rules out is ruled out again, on the open device.

        Args:
            slot: where the image goes.
            content: the image.
            booted: the devices of the running group, as configured.
            start: byte offset of a checkpoint of an earlier try; 0 unless ``resumable``.
            watch: is told how far the work is.

        Raises:
            SlotError: what ``slots.device.open_target`` refuses, and whatever goes wrong on the way. The medium holding
                something else than it was given is ``slot.read-back``.
        """


@runtime_checkable
class Switching(Protocol):
    """What a handler has besides when its slot has two places of its own, of which one is in use (``boot-*``)."""

    def switch(self, slot: Slot) -> None:
        """Makes what the same handler has installed the choice of the next boot: one step, old or new.

        Called once, after ``install`` and after whatever the bundle's own programs do to the slot then.

        Args:
            slot: the one that was installed to.

        Raises:
            SlotError: the choice is what it was before, or what it should be.
            RuntimeError: nothing was installed by this handler.
        """


@runtime_checkable
class Telling(Protocol):
    """What a handler has besides when RAUC tells the programs of a bundle more about its type of slot."""

    def variables(self, slot: Slot) -> Mapping[str, str]:
        """The variables that hooks find in their environment, before and after the installation, until ``switch``.

        Args:
            slot: the one that is installed to.

        Raises:
            SlotError: as ``preflight``.
        """
