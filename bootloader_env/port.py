"""Which slot boots next: what every bootloader's environment can be asked and told, whatever its format.

A *bootname* is the name by which the bootloader knows a slot (``A``). The *trial* is a short text of ours that is written
together with an activation and removed by what ends it, so that after any crash the environment itself says whether the
running system is on probation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SlotBoot:
    """How the bootloader sees one slot.

    Attributes:
        bootname: the slot.
        in_order: whether it is among the slots that are tried at all.
        attempts: boots that are left before it is passed over; with GRUB 1 or 0.
        good: whether the bootloader would boot it when its turn comes.
    """

    bootname: str
    in_order: bool
    attempts: int
    good: bool


@dataclass(frozen=True, slots=True)
class BootState:
    """A snapshot of the environment.

    Attributes:
        order: bootnames in the order in which they are tried, also those that we do not manage.
        slots: the slots that we manage.
        trial: the marker of an activation that is not confirmed yet, or an empty string.
    """

    order: tuple[str, ...]
    slots: Mapping[str, SlotBoot]
    trial: str

    @property
    def primary(self) -> str:
        """The slot that boots next, or an empty string when none of ours would."""
        return next((name for name in self.order if name in self.slots and self.slots[name].good), "")


class BootEnv(Protocol):
    """The boot environment.

    Each changing call is one atomic write: after a power cut the environment is as before or as wanted, nothing between.
    Nothing is written when nothing would change. All calls raise BootEnvError, ``bootenv.unknown-bootname`` for a name
    that was not configured.
    """

    def read(self) -> BootState:
        """Reads the environment as the bootloader will see it."""
        ...

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """Makes ``target`` boot next with full attempts, and ``fallback`` after it; heals a missing order.

        Args:
            target: the freshly written slot.
            fallback: the slot that is running; it is made bootable for sure. A rescue system is bootable always.
            trial: printable ASCII, at most 100 characters.
        """
        ...

    def confirm(self, bootname: str) -> None:
        """Makes the slot good, with full attempts, and ends the trial."""
        ...

    def revert(self, bad: str, good: str) -> None:
        """Makes ``good`` boot next, ``bad`` not at all, and ends the trial; a rescue system stays behind all slots."""
        ...

    def mark_good(self, bootname: str) -> None:
        """Gives the slot full attempts again; the trial stays as it is.

        So does the order, unless no slot of ours would boot by it: then it is healed, without slots that were taken out of
        it on purpose. For a rescue system nothing is changed.
        """
        ...
