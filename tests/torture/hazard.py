"""When the power fails: at random, by a rate that depends on what the device is doing. Pure.

Moments are CPU seconds of the emulated machine, which are the same on a machine that is busy. At a constant rate the cuts are
uniform over the time; where one moment differs from the next (switch, bootloader, trial, confirmation) the rate is higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Manner:
    """How power fails in a run.

    Attributes:
        rates: cuts in a CPU second, by phase.
        usual: the same, of phases that are not named.
        share: of the cuts at which QEMU is killed for real, and the run goes on with a boot.
        most: so many times QEMU is killed in one run, at most.
    """

    rates: Mapping[str, float]
    usual: float
    share: float
    most: int


_OFTEN = {
    "bootloader": 1.0, "system": 0.25, "staged": 3.0, "activating": 4.0, "rebooting": 1.5, "trial": 1.0, "confirming": 4.0,
    "reporting": 2.0, "reverting": 2.0,
}  # fmt: skip
# So that half of all boots, trials and the like come to their end.
_SELDOM = {
    "bootloader": 0.12, "system": 0.065, "staged": 0.45, "activating": 1.5, "rebooting": 0.2, "trial": 0.2, "confirming": 1.5,
    "reporting": 0.45, "reverting": 0.45,
}  # fmt: skip
STANDS_STILL = Manner(_OFTEN, 0.35, 0.02, 2)
KILLED = Manner(_SELDOM, 0.08, 1.0, 16)
# QEMU would begin its logs anew.
RECORDED = Manner(_OFTEN, 0.35, 0.0, 0)


class Hazard:
    """The power cuts of one run.

    Args:
        seed: of the run of the command.
        board: its name.
        number: of this run on the board.
        manner: how many there are, and of which kind.
    """

    def __init__(self, seed: int, board: str, number: int, manner: Manner = STANDS_STILL) -> None:
        self._chance = Random(f"{seed}/{board}/{number}")
        self._left, self._now, self._manner, self._kills = self._chance.expovariate(1.0), 0.0, manner, manner.most

    def due(self, phase: str, now: float) -> bool:
        """Whether there is a cut now.

        Args:
            phase: what the device has done since the last question, see ``Stamps.phase``.
            now: CPU seconds.
        """
        self._left -= self._manner.rates.get(phase, self._manner.usual) * (now - self._now)
        self._now = now
        if self._left > 0:
            return False
        self._left = self._chance.expovariate(1.0)
        return True

    def kills(self) -> bool:
        """Whether this cut is one at which QEMU is killed."""
        drawn = self._chance.random() < self._manner.share and self._kills > 0
        self._kills -= drawn
        return drawn
