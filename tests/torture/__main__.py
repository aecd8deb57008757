"""``python -m torture`` lets the power of a whole device fail, in a virtual machine and in recordings: ``docs/torture.md``."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from boot.lab.kinds import KINDS

from torture.defects import FOUND_BY_REPLAY
from torture.kills import Victim
from torture.record import record
from torture.replay import Replay, explore
from torture.report import Replayed, page, summary
from torture.results import Kills, load_findings, load_kills, save_findings, save_kills
from torture.sample import boot, chosen

_SHARE = {"replay": 0.25, "boot": 0.25}  # of the time; the rest is for kills
_SHOWN = 20  # violations


class Run:
    """One run over some boards.

    Args:
        folder: of the results of all runs.
        boards: their names.
        seed: of everything that is drawn.
        minutes: how long.
        states: end a replay after so many more than there are.
        defect: of the agent; empty for none.
    """

    def __init__(
        self, folder: Path, boards: list[str], *, seed: int, minutes: float, states: int, defect: str = ""
    ) -> None:
        self._folder, self._boards, self._seed, self._states, self._defect = folder, boards, seed, states, defect
        self._began = time.monotonic()
        self._length = minutes * 60

    @property
    def _left(self) -> float:
        return self._length - (time.monotonic() - self._began)

    def recordings(self) -> None:
        """Makes those that are not there yet."""
        for name in self._boards:
            if not self._recording(name).exists():
                work = self._folder / "work" / name
                shutil.rmtree(work, ignore_errors=True)
                made = record(KINDS[name](), work, [self._defect] if self._defect else [])
                self._recording(name).parent.mkdir(parents=True, exist_ok=True)
                made.rename(self._recording(name))
                shutil.rmtree(work)
                _say(f"{name}: an update is recorded")

    def replays(self) -> None:
        """Judges states of each recording."""
        share = self._left * _SHARE["replay"] / len(self._boards)
        for name in self._boards:
            replay, path = Replay(self._recording(name), self._seed), self._path(name, "replay")
            found = load_findings(path)
            explore(replay, found, states=len(found.keys) + self._states, seconds=share)
            save_findings(found, path)
            _say(
                f"{name}: {len(found.keys)} states, {len(found.violations)} violations, {len(found.situations)} situations"
            )

    def boots(self) -> None:
        """Boots situations of the replays that were not booted yet."""
        end = self._left * (1 - _SHARE["boot"] / (1 - _SHARE["replay"]))
        for number, name in enumerate(self._boards):
            replay, booted = Replay(self._recording(name), self._seed), self._booted(name)
            left = chosen(load_findings(self._path(name, "replay")), list(booted), self._seed)
            share = (self._left - end) / (len(self._boards) - number)
            until = time.monotonic() + share
            for text, place in left:
                if time.monotonic() > until:
                    break
                (state,) = replay.find({place})
                booted[text] = boot(replay, KINDS[name](), state, self._folder / "work/sample")
                self._path(name, "booted").write_text(json.dumps(booted, indent=1))
            _say(f"{name}: {len(booted)} situations booted, {sum(map(bool, booted.values()))} not as predicted")

    def kills(self) -> None:
        """Kills machines until the time is over; the board with the fewest cuts is next."""
        while self._left > 0:
            known = {name: load_kills(self._path(name, "kills"), name) for name in self._boards}
            name = min(known, key=lambda each: len(known[each].cuts))
            self._kill(name, known[name], self._left / 2 if len(self._boards) > 1 else self._left)

    def _kill(self, name: str, kills: Kills, seconds: float) -> None:
        work = self._folder / "work" / f"{name}-kills"
        shutil.rmtree(work, ignore_errors=True)
        until = time.monotonic() + max(seconds, 600)
        with Victim(KINDS[name](), work, self._seed, [self._defect] if self._defect else []) as victim:
            victim.prepare(kills)
            while time.monotonic() < until and self._left > 0:
                cycle = victim.cycle(kills)
                kills.cycles.append(cycle)
                save_kills(kills, self._path(name, "kills"))
                cuts = ", ".join(f"{cut.phase} ({cut.aim})" for cut in cycle.cuts)
                _say(f"{name} {cycle.number}: cut while {cuts}: {cycle.status} {'; '.join(cycle.broken)}".rstrip())
        shutil.rmtree(work)

    def report(self) -> int:
        """Writes the report of all that is there; returns the number of broken promises."""
        replays, kills = [], []
        for name in sorted(KINDS):
            if self._path(name, "replay").exists() and self._recording(name).exists():
                replay = Replay(self._recording(name), self._seed)
                times = [moment.time for moment in replay.moments]
                found = load_findings(self._path(name, "replay"))
                replays.append(Replayed(replay.story, found, times[0], times[-1], self._booted(name)))
            if self._path(name, "kills").exists():
                kills.append(load_kills(self._path(name, "kills"), name))
        values = summary(replays, kills, self._seed)
        (self._folder / "report.json").write_text(json.dumps(values, indent=1))
        (self._folder / "report.html").write_text(page(replays, kills, values))
        for each in replays:
            for violation in each.found.violations[:_SHOWN]:
                _say(f"{each.story.board}: {violation.problem}, {violation.place}\n    {violation.situation}")
        keys = ("states", "violations", "booted", "booted_broken", "cuts", "broken")
        _say(" ".join(f"{key}: {values[key]}," for key in keys) + f" report: {self._folder / 'report.html'}")
        return sum(int(str(values[key])) for key in ("violations", "booted_broken", "broken"))

    def _recording(self, name: str) -> Path:
        return self._folder / "recordings" / name

    def _path(self, name: str, what: str) -> Path:
        return self._folder / f"{name}-{what}.json"

    def _booted(self, name: str) -> dict[str, str]:
        path = self._path(name, "booted")
        return dict(json.loads(path.read_text())) if path.exists() else {}


def main() -> int:
    """Runs what was asked for."""
    options = _options()
    folder = options.folder / options.defect if options.defect else options.folder
    folder.mkdir(parents=True, exist_ok=True)
    boards = options.board or list(KINDS)
    run = Run(folder, boards, seed=options.seed, minutes=options.minutes, states=options.states, defect=options.defect)
    _say(f"seed {options.seed}, boards {' '.join(boards)}, {options.minutes:g} minutes, results of all runs: {folder}")
    wanted = options.only or ["replay", "boot", "kills"]
    if "replay" in wanted or "boot" in wanted:
        run.recordings()
    if "replay" in wanted:
        run.replays()
    if "boot" in wanted:
        run.boots()
    if "kills" in wanted:
        run.kills()
    broken = run.report()
    if options.defect:
        _say(f"the defect {options.defect} was {'found' if broken else 'NOT FOUND'}")
    return int((broken > 0) != bool(options.defect))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="end after so much time (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default %(default)s)")
    parser.add_argument(
        "--states", type=int, default=20_000, help="more of each recording, at most (default %(default)s)"
    )
    parser.add_argument("--board", action="append", choices=sorted(KINDS), help="may be given again; all if not given")
    parser.add_argument("--only", action="append", choices=("replay", "boot", "kills"), help="may be given again")
    parser.add_argument(
        "--defect", choices=sorted(FOUND_BY_REPLAY), default="", help="alter the agent, which must be found"
    )
    parser.add_argument("--folder", type=lambda text: Path(text).absolute(), default=Path("build/torture").absolute())
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
