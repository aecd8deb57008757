"""What runs have found, as JSON beside the recordings, so that a later run goes on with it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torture.replay import Findings, Place, Violation

_KEY = 16  # bytes


def save_findings(found: Findings, path: Path) -> None:
    """Writes findings; the keys of the states go into a file of their own."""
    path.with_suffix(".keys").write_bytes(b"".join(sorted(found.keys)))
    values: dict[str, object] = {
        "states": len(found.keys),
        "kinds": dict(found.kinds),
        "phases": dict(found.phases),
        "violations": [dataclasses.asdict(each) for each in found.violations],
        "situations": {text: dataclasses.asdict(place) for text, place in found.situations.items()},
        "seconds": dict(found.seconds),
        "track": found.track,
        "sweeps": found.sweeps,
    }
    _write(path, values)


def load_findings(path: Path) -> Findings:
    """Reads findings; empty ones when there are none yet."""
    if not path.exists():
        return Findings()
    values: dict[str, Any] = json.loads(path.read_text())
    keys = path.with_suffix(".keys").read_bytes()
    return Findings(
        keys={keys[at : at + _KEY] for at in range(0, len(keys), _KEY)},
        kinds=Counter(values["kinds"]),
        phases=Counter(values["phases"]),
        violations=[Violation(**{**each, "place": Place(**each["place"])}) for each in values["violations"]],
        situations={text: Place(**place) for text, place in values["situations"].items()},
        seconds=Counter({int(second): count for second, count in values["seconds"].items()}),
        track=[(time, state) for time, state in values["track"]],
        sweeps=values["sweeps"],
    )


@dataclass(frozen=True, slots=True)
class Cut:
    """One power cut.

    Attributes:
        at: CPU seconds of the machine since the cycle began.
        aim: what the moment was drawn for.
        phase: what the device was doing: ``bootloader``, ``system`` (it comes up), or the state in the daemon's record.
        status: of the action on the server at that moment.
        problems: broken promises, as the drives were found.
    """

    at: float
    aim: str
    phase: str
    status: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cycle:
    """One update with power cuts, until the device rests.

    Attributes:
        number: of the cycle on this board; with the seed it names all that was drawn.
        cuts: in their order.
        boots: CPU seconds and boot name, of each kernel that was started.
        said: CPU seconds and status, when the server learned something.
        status: how the server takes the action in the end.
        running: boot name of the slot that runs in the end.
        end: CPU seconds, when it rests.
        problems: broken promises at the end.
    """

    number: int
    seed: int
    cuts: tuple[Cut, ...]
    boots: tuple[tuple[float, str], ...]
    said: tuple[tuple[float, str], ...]
    status: str
    running: str
    end: float
    problems: tuple[str, ...] = ()

    @property
    def broken(self) -> list[str]:
        """All broken promises."""
        return [*self.problems, *(problem for cut in self.cuts for problem in cut.problems)]


@dataclass(slots=True)
class Kills:
    """All cycles of a board.

    Attributes:
        board: its name.
        track: of an update without a cut: CPU seconds, and what the device does from then on.
        length: CPU seconds of that.
        cycles: what was done so far.
    """

    board: str
    track: list[tuple[float, str]] = field(default_factory=list)
    length: float = 0.0
    cycles: list[Cycle] = field(default_factory=list)

    @property
    def cuts(self) -> list[tuple[Cycle, Cut]]:
        """Every power cut."""
        return [(cycle, cut) for cycle in self.cycles for cut in cycle.cuts]


def save_kills(kills: Kills, path: Path) -> None:
    """Writes all cycles of a board."""
    _write(path, dataclasses.asdict(kills))


def load_kills(path: Path, board: str) -> Kills:
    """Reads the cycles of a board; none when there are none yet."""
    if not path.exists():
        return Kills(board)
    values: dict[str, Any] = json.loads(path.read_text())
    cycles = []
    for each in values["cycles"]:
        cuts = tuple(Cut(**{**cut, "problems": tuple(cut["problems"])}) for cut in each["cuts"])
        pairs = {name: tuple((at, text) for at, text in each[name]) for name in ("boots", "said")}
        cycles.append(Cycle(**{**each, **pairs, "cuts": cuts, "problems": tuple(each["problems"])}))
    return Kills(values["board"], [(at, text) for at, text in values["track"]], values["length"], cycles)


def _write(path: Path, values: object) -> None:
    """A run that is interrupted leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(values, indent=1))
    new.rename(path)
