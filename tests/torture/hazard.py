"""When the power fails: at random, by a rate that depends on what the device is doing. Pure.

Moments are CPU seconds of the emulated machine, which are the same on a machine that is busy. At a constant rate the cuts are
uniform over the time; where one moment differs from the next (switch, bootloader, trial, confirmation) the rate is higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

_USUAL = 0.35  # of what is not named here: cuts in a CPU second
RATES: Mapping[str, float] = {
    "bootloader": 1.0, "system": 0.25, "staged": 3.0, "activating": 4.0, "rebooting": 1.5, "trial": 1.0, "confirming": 4.0,
    "reporting": 2.0, "reverting": 2.0,
}  # fmt: skip
_KILL = 0.02  # of the cuts: QEMU is killed for real, and the run goes on with a boot
KILLS = 2  # at most, in one run


class Hazard:
    """The power cuts of one run.

    Args:
        seed: of the run of the command.
        board: its name.
        number: of this run on the board.
        kills: at most so many times QEMU is killed.
    """

    def __init__(self, seed: int, board: str, number: int, kills: int = KILLS) -> None:
        self._chance = Random(f"{seed}/{board}/{number}")
        self._left, self._now, self._kills = self._chance.expovariate(1.0), 0.0, kills

    def due(self, phase: str, now: float) -> bool:
        """Whether there is a cut now.

        Args:
            phase: what the device has done since the last question, see ``Stamps.phase``.
            now: CPU seconds.
        """
        self._left -= RATES.get(phase, _USUAL) * (now - self._now)
        self._now = now
        if self._left > 0:
            return False
        self._left = self._chance.expovariate(1.0)
        return True

    def kills(self) -> bool:
        """Whether this cut is one at which QEMU is killed."""
        drawn = self._chance.random() < _KILL and self._kills > 0
        self._kills -= drawn
        return drawn
