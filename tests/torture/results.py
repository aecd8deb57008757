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
        number: of the cut on this board.
        at: CPU seconds of the machine since the run began.
        phase: what the device was doing: ``bootloader``, ``system`` (it comes up), or the state in the daemon's record.
        status: of the action on the server at that moment.
        course: see ``course.course``.
        killed: QEMU was killed, and the run went on with a boot; otherwise the run went on as if nothing had happened.
        problems: broken promises, as the drives were found.
    """

    number: int
    at: float
    phase: str
    status: str
    course: str
    killed: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    """One run of a device, from a power cut or from the factory, until it rests.

    Attributes:
        number: of the run on this board; with the seed it names all that was drawn.
        seed: of the run of the command.
        since: number of the cut from whose copy it was booted; 0 for the factory.
        depth: power cuts that the device has lived through in the end, one after the other.
        cuts: those of this run, in their order.
        boots: CPU seconds and boot name, of each kernel that was started.
        said: CPU seconds and status, when the server learned something.
        track: CPU seconds, and what the device did from then on, as its console said.
        status: how the server takes the action in the end.
        running: boot name of the slot that runs in the end.
        end: CPU seconds, when it rests.
        problems: broken promises at the end.
        agent: the commit that changed the agent last.
    """

    number: int
    seed: int
    since: int
    depth: int
    cuts: tuple[Cut, ...]
    boots: tuple[tuple[float, str], ...]
    said: tuple[tuple[float, str], ...]
    track: tuple[tuple[float, str], ...]
    status: str
    running: str
    end: float
    problems: tuple[str, ...] = ()
    agent: str = ""

    @property
    def broken(self) -> list[str]:
        """All broken promises."""
        return [*self.problems, *(problem for cut in self.cuts for problem in cut.problems)]


@dataclass(slots=True)
class Cuts:
    """All runs of a board, and their cuts."""

    board: str
    runs: list[Course] = field(default_factory=list)

    @property
    def all(self) -> list[Cut]:
        """Every power cut; each was judged on the medium."""
        return [cut for run in self.runs for cut in run.cuts]

    @property
    def booted(self) -> list[Cut]:
        """Those from which a device was booted until it rested, or until a promise was broken."""
        since = {run.since for run in self.runs}
        return [cut for cut in self.all if cut.killed or cut.number in since]

    @property
    def broken(self) -> list[Course]:
        """The runs in which a promise was broken."""
        return [run for run in self.runs if run.broken]


def save_cuts(cuts: Cuts, path: Path) -> None:
    """Writes all runs of a board."""
    _write(path, dataclasses.asdict(cuts))


def load_cuts(path: Path, board: str) -> Cuts:
    """Reads the runs of a board; none when there are none yet."""
    if not path.exists():
        return Cuts(board)
    values: dict[str, Any] = json.loads(path.read_text())
    runs = []
    for each in values["runs"]:
        cuts = tuple(Cut(**{**cut, "problems": tuple(cut["problems"])}) for cut in each["cuts"])
        pairs = {name: tuple((at, text) for at, text in each[name]) for name in ("boots", "said", "track")}
        runs.append(Course(**{**each, **pairs, "cuts": cuts, "problems": tuple(each["problems"])}))
    return Cuts(values["board"], runs)


def _write(path: Path, values: object) -> None:
    """A run that is interrupted leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(values, indent=1))
    new.rename(path)
