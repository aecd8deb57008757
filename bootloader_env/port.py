"""Which slot boots next: what every bootloader's environment can be asked and told, whatever its format.

A *bootname* is the name by which the bootloader knows a slot (``A``). The *trial* is a short text of ours that is written
together with an activation and removed by what ends it, so that after any crash the environment itself says whether the
running system is on probation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SlotBoot:
    """How the bootloader sees one slot.

    Attributes:
        bootname: the slot.
        in_order: whether it is among the slots that are tried at all.
        attempts: boots that are left before it is passed over; 1 or 0 where the bootloader does not count.
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
        order: bootnames in the order in which they are tried, also those that we do not manage. A slot that is armed
            for one boot comes first.
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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a bootloader and its storage can do, as far as it makes a difference for the promises of an update.

    Attributes:
        atomic: each change is one write that happens as a whole or not at all. Otherwise it is several such writes, in
            an order in which a cut after any of them leaves a device that boots the running system or the target.
        marker_inside: the trial is part of the same write as the activation; otherwise ``marked.Marked`` keeps it.
        redundant: a change leaves the copy before it untouched, so that damage to one copy loses the last change only.
        trial_attempts: boots that a slot on trial gets before the bootloader goes back to the fallback by itself; 0 when
            it does not go back, or when that is not known.
        one_shot: a trial is armed beside the lasting choice, which stays with the fallback until ``confirm``.
        reboot_argument: what reboot(8) must be given so that the armed slot boots; empty when nothing is needed.
    """

    atomic: bool
    marker_inside: bool
    redundant: bool
    trial_attempts: int
    one_shot: bool = False
    reboot_argument: str = ""


class BootEnv(Protocol):
    """The boot environment.

    After a power cut in any changing call the environment is as before or as wanted; see ``Capabilities.atomic`` for
    bootloaders that need several writes. Nothing is written when nothing would change. All calls raise BootEnvError,
    ``bootenv.unknown-bootname`` for a name that was not configured.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this bootloader can do; the medium is not touched."""
        ...

    def current(self) -> str:
        """The slot that the bootloader says it has booted; empty when it does not tell, or when it is none of ours."""
        ...

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
        """Makes ``good`` boot next, ``bad`` not at all, and ends the trial.

        A rescue system that the boot script starts by itself stays behind all slots; for other bootloaders it is a slot.
        """
        ...

    def mark_good(self, bootname: str) -> None:
        """Gives the slot full attempts again; the trial stays as it is.

        So does the order, unless no slot of ours would boot by it: then it is healed, without slots that were taken out of
        it on purpose. For a rescue system that the boot script starts by itself nothing is changed.
        """
        ...

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """Makes a new environment in place of one that is missing or holds nothing valid; nothing is kept of it.

        Only to be called when ``read`` has failed with ``bootenv.missing`` or ``bootenv.invalid``, and when it is known
        from elsewhere that no update is on trial.

        Args:
            bootname: the slot that is running, which becomes the first choice.
            good: other slots that may boot.

        Returns:
            Whether it was made; False for a bootloader whose environment cannot be made by us.
        """
        ...


class Loader(BootEnv, Protocol):
    """A boot environment without a place for our marker: ``activate`` ignores the trial, and ``read`` has none."""

    def settled(self, bootname: str) -> bool:
        """Whether the environment itself proves that this slot is not, or no longer, on trial."""
        ...
