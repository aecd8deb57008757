"""Goes through a recorded update, entry by entry, and through what a power cut may leave at each.

A pass goes from the first entry to the last. The first pass takes, at each, all that was written, only what is there for sure,
a torn last write, and draws of what is pending; each further pass takes other draws. A state is named by its place: pass,
moment, draw. With the same seed it is found again, and can be put on images of drives.
"""

from __future__ import annotations

import mmap
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random

from torture import trace
from torture.judge import Found, problems
from torture.look import Looker
from torture.medium import SECTOR, Bytes, Medium, Region, View, mark_of
from torture.story import TRACE, Story, Told, regions
from torture.writelog import Entry, entries

_FIRST = ("everything", "nothing", "torn", "some", "some", "some", "torn")
_AGAIN = ("some", "some", "torn", "some", "some", "torn", "some", "some")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a replay a state was found; ``kind`` is what survived."""

    sweep: int
    moment: int
    draw: int
    kind: str = ""

    def __str__(self) -> str:
        return f"pass {self.sweep}, moment {self.moment}, draw {self.draw} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which, where, at what time of the recording, and the situation."""

    problem: str
    place: Place
    time: float
    situation: str


@dataclass(slots=True)
class Findings:
    """What was found in one recording.

    Attributes:
        keys: one for each distinct state: all that is on the drives and what the server knew.
        kinds: how many of them by what survived.
        phases: the same by the state of the daemon on the medium.
        violations: broken promises, each with each situation once.
        situations: the first place at which the bootloader would find each environment and slots.
        seconds: how many of them by second of the recording.
        track: time, and state of the daemon from then on, when every write is there.
        sweeps: passes that are complete.
    """

    keys: set[bytes] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    situations: dict[str, Place] = field(default_factory=dict)
    seconds: Counter[int] = field(default_factory=Counter)
    track: list[tuple[float, str]] = field(default_factory=list)
    sweeps: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What a power cut left, and where."""

    place: Place
    time: float
    views: list[View]
    told: Told


class Replay:
    """A recording, opened.

    Args:
        directory: what ``record`` made.
        seed: of all draws.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory, self.story, self._seed = directory, Story.load(directory), seed
        self._bases = [_mapped(directory / f"{drive.name}.base") for drive in self.story.drives]
        self._logs = [_mapped(directory / f"{drive.name}.log") for drive in self.story.drives]
        self.entries = [entries(memoryview(log)) if log else [] for log in self._logs]
        with (directory / TRACE).open(errors="replace") as lines:
            self.moments = trace.moments(lines, self.entries)
        self._regions = [self._marked(base, number) for number, base in enumerate(self._bases)]
        places = {region.name: (number, region) for number, found in enumerate(self._regions) for region in found}
        before = {
            label: mark_of(self._bases[places[label][0]], places[label][1].start, places[label][1].size)
            for label in self.story.slots.values()
        }
        self._looker = Looker(self.story, places, before)

    def _marked(self, base: Bytes, number: int) -> tuple[Region, ...]:
        """The parts of a drive; of a slot only what belongs to an image."""
        slots = set(self.story.slots.values())
        return tuple(
            Region(each.name, each.start, min(each.size, self.story.image)) if each.name in slots else each
            for each in regions(base, self.story.drives[number])
        )

    def look(self, state: State) -> Found:
        """What is on the drives."""
        return self._looker.found(state.views)

    def states(self, sweep: int) -> Iterator[State]:
        """The states of one pass, in the order of time. Each must be looked at before the next is asked for."""
        media = [
            Medium(base, log, found, cached=drive.cached)
            for base, log, found, drive in zip(self._bases, self._logs, self._regions, self.story.drives, strict=True)
        ]
        for number, moment in enumerate(self.moments):
            for drive, medium in enumerate(media):
                if drive == moment.drive:
                    medium.take(self._entry(moment))
                elif not self.story.drives[drive].cached:
                    medium.settle()
            told = self.story.knew(moment.time)
            for draw, kind in enumerate(_AGAIN if sweep else _FIRST):
                place = Place(sweep, number, draw, kind)
                if views := self._drawn(media, moment.drive, place):
                    yield State(place, moment.time, views, told)

    def _entry(self, moment: trace.Moment) -> Entry:
        return self.entries[moment.drive][moment.entry]

    def _drawn(self, media: list[Medium], drive: int, place: Place) -> list[View] | None:
        """What survives on each drive; None when there is nothing to draw from."""
        chance = Random(f"{self._seed}/{place.sweep}/{place.moment}/{place.draw}")
        if place.kind == "everything":
            return [medium.everything() for medium in media]
        if place.kind == "nothing":
            return [medium.nothing() for medium in media]
        if place.kind == "torn":
            view = media[drive].torn(chance)
            return view and [view if at == drive else medium.everything() for at, medium in enumerate(media)]
        drawn = [medium.some(chance) for medium in media]
        if not any(drawn):
            return None
        return [view or medium.everything() for view, medium in zip(drawn, media, strict=True)]

    def find(self, places: set[Place]) -> Iterator[State]:
        """States at places that are known, in their order."""
        for sweep in sorted({place.sweep for place in places}):
            left = {place for place in places if place.sweep == sweep}
            for state in self.states(sweep):
                if state.place in left:
                    yield state
                    left.discard(state.place)
                if not left:
                    break

    def put(self, state: State, directory: Path) -> list[Path]:
        """Images of all drives that hold a state."""
        made = []
        for drive, base, view in zip(self.story.drives, self._bases, state.views, strict=True):
            image = directory / f"{drive.name}.img"
            _sparse_copy(self.directory / f"{drive.name}.base", image)
            with image.open("r+b") as file:
                for number, data in view.sectors():
                    if number * SECTOR < len(base):
                        file.seek(number * SECTOR)
                        file.write(data)
            made.append(image)
        return made


def explore(
    replay: Replay,
    found: Findings,
    *,
    states: int,
    seconds: float,
    enough: int = 200,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Judges states until there are so many, or the time is over; goes on where ``found`` ends.

    Args:
        replay: the recording.
        found: is added to.
        states: how many distinct ones there are to be in the end.
        seconds: how long.
        enough: end after so many violations.
        clock: seconds.
    """
    end, barren = clock() + seconds, 0
    while barren < 2:
        before = len(found.keys)
        for state in replay.states(found.sweeps):
            if len(found.keys) >= states or clock() > end or len(found.violations) >= enough:
                return
            _judge(replay, state, found)
        found.sweeps += 1
        barren = barren + 1 if len(found.keys) == before else 0


def _judge(replay: Replay, state: State, found: Findings) -> None:
    text = repr(([sorted(view.marks.items()) for view in state.views], state.told.status, state.told.messages))
    key = blake2b(text.encode(), digest_size=16).digest()
    if key in found.keys:
        return
    found.keys.add(key)
    seen = replay.look(state)
    found.kinds[state.place.kind] += 1
    found.phases[seen.documents.state] += 1
    found.seconds[int(state.time - replay.moments[0].time)] += 1
    if state.place.kind == "everything" and (not found.track or found.track[-1][1] != seen.documents.state):
        found.track.append((state.time, seen.documents.state))
    situation = seen.situation
    found.situations.setdefault(situation, state.place)
    known = {(each.problem, each.situation) for each in found.violations}
    for problem in problems(seen, replay.story, state.told):
        if (problem, situation) not in known:
            found.violations.append(Violation(problem, state.place, state.time, situation))


def _mapped(path: Path) -> Bytes:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _sparse_copy(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        shutil.copyfileobj(old, _Holes(new), 1024 * 1024)
        new.truncate(source.stat().st_size)


class _Holes:
    """Writes everything but zeros."""

    def __init__(self, file: object) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        if data.strip(b"\0"):
            return self._file.write(data)  # type: ignore[attr-defined,no-any-return]
        self._file.seek(len(data), 1)  # type: ignore[attr-defined]
        return len(data)
