"""When the power fails: uniform over an update, or a moment after something that the device was seen to do. Pure.

Moments are CPU seconds of the emulated machine, which are the same on a machine that is busy.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

_STATES_OF = {
    "staging": (frozenset({"staging"}), 14.0),
    "switch": (frozenset({"staged", "activating", "rebooting"}), 1.5),
    "confirming": (frozenset({"trial", "confirming", "reporting"}), 4.0),
}
_SCRIPT, _TRIAL, _END = 2.5, 20.0, 3.0
AIMS = ("uniform", "uniform", "staging", "switch", "switch", "script", "trial", "confirming", "confirming", "end")
_CUTS = (1, 1, 2, 2, 3)  # in one update


@dataclass(frozen=True, slots=True)
class Aim:
    """A power cut that is to come: ``delay`` CPU seconds after what it waits for."""

    name: str
    delay: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a device at a moment.

    Attributes:
        phase: see ``Stamps.phase``.
        resets: how often it was reset or switched on since the last cut.
        trial: whether the new slot was started since then.
        ended: whether the server has closed the action.
    """

    phase: str
    resets: int
    trial: bool
    ended: bool


def drawn(seed: int, board: str, number: int, length: float) -> list[Aim]:
    """The power cuts of one update.

    Args:
        seed: of the run.
        board: its name.
        number: of the update.
        length: CPU seconds that an update takes without a cut.
    """
    chance = Random(f"{seed}/{board}/{number}")
    found = []
    for _ in range(chance.choice(_CUTS)):
        name = chance.choice(AIMS)
        found.append(Aim(name, chance.uniform(0.0, _spread(name, length))))
    return found


def due(aim: Aim, seen: Seen) -> bool:
    """Whether what it waits for has happened."""
    if aim.name == "uniform":
        return True
    if aim.name == "script":
        return seen.resets > 0 or seen.ended
    if aim.name == "trial":
        return seen.trial or seen.ended
    if aim.name == "end":
        return seen.ended
    return seen.phase in _STATES_OF[aim.name][0] or seen.ended


def _spread(name: str, length: float) -> float:
    fixed = {"script": _SCRIPT, "trial": _TRIAL, "end": _END, "uniform": length}
    return fixed[name] if name in fixed else _STATES_OF[name][1]
