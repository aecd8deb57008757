"""Goes through the moments of recordings and through what may survive at each, as long as it is allowed to."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from crash import disk as disks
from crash.disk import Disk
from crash.interpose import same
from crash.judge import Past, at_cut, at_rest, server_key
from crash.names import NotUnderstood
from crash.record import Recording, Told
from crash.rig import Rig

_BARREN = 16  # draws in a row without a new state, after which a moment is left alone
_AGAIN = {2: 2, 3: 1}  # how many second cuts are tried while the device recovers from a first one, and third ones
_OFFLINE = (0, 0, 0, 0, 1, 3, 8)  # requests that fail after the power came back
_RUN = 8  # moments
_MANY = 99  # power cuts, or as bad
_VERIFY = 64  # of so many recoveries, one is checked for writes that were not recorded


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, and where it was found.

    Attributes:
        place: scenario, number of the operation before which the power failed, draw; of each cut of a recovery
            its number and moment.
        problem: what is wrong.
        story: what happened.
    """

    place: str
    problem: str
    story: str


@dataclass(slots=True)
class Findings:
    """What one worker has found.

    Attributes:
        keys: a digest of each distinct state.
        kinds: how many there were of which scenario after how many power cuts.
        violations: broken promises.
        seconds: how long it took.
    """

    keys: set[bytes] = field(default_factory=set)
    kinds: Counter[tuple[str, int]] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a recording: what the disk had been told until then, and what the server knew."""

    recording: Recording
    number: int
    disk: Disk
    server: bytes


def moments(recording: Recording) -> Iterator[Moment]:
    """Every moment of a recording, the one before the first operation included."""
    disk, server = recording.disk(), b""
    for number, what in enumerate(recording.timeline):
        if isinstance(what, Told):
            server = what.state
        else:
            disk.apply(what)
        if server:
            yield Moment(recording, number, disk.copy(), server)


class Explorer:
    """One worker.

    Args:
        recordings: what to go through.
        seed: of every draw.
        share: number of this worker, and how many there are: each takes its own moments.
        limit: end after so many states.
        seconds: end after so much time.
        enough: end after so many violations.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        *,
        seed: int,
        share: tuple[int, int],
        limit: int,
        seconds: float,
        enough: int = 1000,
    ) -> None:
        self._recordings, self._seed = recordings, seed
        self._share, self._limit, self._enough = share, limit, enough
        self._end = time.monotonic() + seconds
        self._rigs: dict[str, Rig] = {}
        self.found = Findings()
        self._lives = 0
        self._past = Past()  # at the last cut and before

    def run(self) -> Findings:
        """Explores."""
        began = time.monotonic()
        left = [(moment, 0) for recording in self._recordings for moment in self._shared(recording)]
        try:
            draw = 0
            while left and not self._over():
                Random(f"{self._seed}/{draw}").shuffle(left)
                still = []
                for moment, barren in left:
                    if self._over():
                        break
                    new = self._visit(moment, draw)
                    barren = 0 if new or draw < 2 else barren + 1
                    if barren < _BARREN:
                        still.append((moment, barren))
                left, draw = still, draw + 1
        finally:
            for rig in self._rigs.values():
                rig.close()
        self.found.seconds = time.monotonic() - began
        return self.found

    def _over(self) -> bool:
        enough = len(self.found.keys) >= self._limit or len(self.found.violations) >= self._enough
        return enough or time.monotonic() > self._end

    def _shared(self, recording: Recording) -> list[Moment]:
        """The moments of this worker: in runs, because neighbours have states in common.

        Every worker gets some of each part of an update: there is more to be found while a slot is written than later.
        """
        number, shares = self._share
        return [moment for at, moment in enumerate(moments(recording)) if at // _RUN % shares == number]

    def _visit(self, moment: Moment, draw: int) -> bool:
        """One draw of what survives at a moment; returns whether it was new."""
        recording = moment.recording
        place = f"{recording.scenario.name}:{moment.number}:{draw}"
        chance = Random(f"{self._seed}/{place}")
        mode = ("nothing", "everything")[draw] if draw < 2 else ""
        rig = self._rig(recording)
        if not self._judge(rig, moment.disk.survivors(chance, mode), moment.server, place, 1, Past()):
            return False
        self._cut_again(rig, moment.server, place, chance, 2)
        return True

    def _cut_again(self, rig: Rig, server: bytes, place: str, chance: Random, cuts: int) -> None:
        """Power cuts at some moments of what the rig has just recorded."""
        timeline, base, past = rig.interposer.timeline(), rig.recorded(), self._past
        for again in range(_AGAIN.get(cuts, 0) if timeline else 0):
            if self._over():
                break
            disk, known, cut = base.copy(), server, chance.randrange(len(timeline))
            for what in timeline[: cut + 1]:
                if isinstance(what, Told):
                    known = what.state
                else:
                    disk.apply(what)
            mode = chance.choice(("nothing", "everything", "", ""))
            there = f"{place}:{again}:{cut}"
            if self._judge(rig, disk.survivors(chance, mode), known, there, cuts, past):
                self._cut_again(rig, known, there, chance, cuts + 1)

    def _rig(self, recording: Recording) -> Rig:
        name = recording.scenario.name
        if name not in self._rigs:
            self._rigs[name] = Rig(recording)
        return self._rigs[name]

    def _judge(self, rig: Rig, state: disks.State, server: bytes, place: str, cuts: int, past: Past) -> bool:
        known = pickle.loads(server)
        scenario = rig.recording.scenario.name
        text = f"{scenario}\0{server_key(known)}\0".encode() + disks.fingerprint(state)
        key = blake2b(text, digest_size=16).digest()
        if key in self.found.keys:
            return False
        self.found.keys.add(key)
        self.found.kinds[scenario, cuts] += 1
        rig.put(state)
        problems = at_cut(rig, state, known, past)
        self._past = past = past.after(rig, known)
        action = known.actions.get(rig.recording.action_id)
        told = action is not None and action.status == "FINISHED"
        offline = Random(f"{self._seed}/{place}/offline").choice(_OFFLINE)
        ended = rig.live(server, self._seed, cuts, offline)
        problems += at_rest(rig, ended, cuts if not offline else _MANY, past, told=told)
        self._lives += 1
        if self._lives % _VERIFY == 0:
            self._verify(rig)
        story = f"offline {offline}; boots {' '.join(ended.boots)}; ends {ended.words}; errors {' '.join(ended.errors)}"
        self.found.violations += [Violation(place, problem, story) for problem in problems]
        return True

    @staticmethod
    def _verify(rig: Rig) -> None:
        disk = rig.recorded()
        for what in rig.interposer.timeline():
            if not isinstance(what, Told):
                disk.apply(what)
        if difference := same(rig.home, disk.survivors(Random(0), "everything")):
            raise NotUnderstood(f"a write was not recorded: {difference}")
