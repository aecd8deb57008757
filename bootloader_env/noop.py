"""No bootloader that we could talk to: something else on the device chooses the slot.

As for RAUC, every change succeeds and does nothing. What was asked for last is remembered until the process ends, so that
an activation can be seen; after a restart of the device the slot that runs tells what really happened.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootloader_env.order import check_parts, checked_names
from bootloader_env.port import BootState, Capabilities, SlotBoot


class NoopLoader:
    """Implements ``port.Loader``, which documents the methods.

    Args:
        bootnames: the slots that we manage.

    Raises:
        BootEnvError: ``bootenv.bootnames``.
    """

    def __init__(self, bootnames: tuple[str, ...]) -> None:
        self._bootnames = checked_names(bootnames)
        self._order: tuple[str, ...] = ()

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return Capabilities(atomic=True, marker_inside=False, redundant=False, trial_attempts=0)

    def current(self) -> str:
        """See BootEnv."""
        return ""

    def read(self) -> BootState:
        """See BootEnv."""
        slots = {
            name: SlotBoot(name, name in self._order, int(name in self._order), name in self._order)
            for name in self._bootnames
        }
        return BootState(self._order, slots, "")

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, target, fallback)
        self._lead(target, fallback)

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bootname)
        self._lead(bootname)

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bad, good)
        self._lead(good)
        self._order = tuple(name for name in self._order if name != bad)

    def mark_good(self, bootname: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bootname)

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv."""
        return False

    def settled(self, bootname: str) -> bool:
        """See Loader."""
        return False

    def _lead(self, *first: str) -> None:
        self._order = tuple(dict.fromkeys((*first, *(self._order or self._bootnames))))
