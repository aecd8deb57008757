"""``python -m torture`` lets the power of a whole device fail, in a virtual machine and in recordings: ``docs/torture.md``."""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from boot.lab.kinds import KINDS

from torture.cuts import remove, runs
from torture.defects import FOUND_BY_REPLAY, WITH_BOTH_SLOTS_FILLED
from torture.hazard import KILLED, STANDS_STILL
from torture.replay import Replay, explore
from torture.report import Replayed, page, summary
from torture.results import Course, load_cuts, load_findings, save_cuts, save_findings
from torture.sample import boot, chosen

_SHARES = {"cuts": 0.6, "replay": 0.5}  # of the time that is then left
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
        kill: at each cut QEMU is killed.
        both: the factory has filled both slots.
    """

    def __init__(
        self,
        folder: Path,
        boards: list[str],
        *,
        seed: int,
        minutes: float,
        states: int,
        defect: str = "",
        kill: bool = False,
        both: bool = False,
    ) -> None:
        self._folder, self._boards, self._seed, self._states, self._defect = folder, boards, seed, states, defect
        self._manner, self._both = KILLED if kill else STANDS_STILL, both
        self._began = time.monotonic()
        self._length = minutes * 60

    @property
    def _left(self) -> float:
        return self._length - (time.monotonic() - self._began)

    def recordings(self) -> None:
        """Makes those that are not there yet."""
        for name in self._boards:
            if not self._recording(name).exists():
                self._live(name, 0.0)

    def cuts(self, share: float) -> None:
        """Lets the power of each board fail; the boards with the fewest cuts have the first turn.

        Args:
            share: of the time that is left.
        """
        known = {name: len(load_cuts(self._path(name, "cuts"), name).all) for name in self._boards}
        end = time.monotonic() + self._left * share
        for number, name in enumerate(sorted(known, key=lambda each: known[each])):
            now = time.monotonic()
            self._live(name, now + (end - now) / (len(known) - number))

    def _live(self, name: str, until: float) -> None:
        """Runs of one board, one at least."""
        with self._alone(name):
            self._lives(name, until)

    def _lives(self, name: str, until: float) -> None:
        work, cuts = self._folder / "work" / name, load_cuts(self._path(name, "cuts"), name)
        shutil.rmtree(work, ignore_errors=True)
        wanted = self._manner is STANDS_STILL and not self._recording(name).exists()
        recording = self._recording(name) if wanted else None
        defects = [self._defect] if self._defect else []
        lives = runs(
            KINDS[name](), work, cuts, self._seed,
            altered=defects, recording=recording, manner=self._manner, both=self._both,
        )  # fmt: skip
        with closing(lives):
            for course in lives:
                save_cuts(cuts, self._path(name, "cuts"))
                _say(_line(name, course, len(cuts.all), len(cuts.booted)))
                if time.monotonic() > until:
                    break
        remove(work, cuts)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """The results of a board belong to one command; another one would remove what it works with.

        Raises:
            SystemExit: another command has them.
        """
        with (self._folder / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SystemExit(
                    f"torture: another command works with {name} in {self._folder}; wait for it, or give another --folder"
                ) from None
            yield

    def replays(self, share: float = 1.0) -> None:
        """Judges states of each recording.

        Args:
            share: of the time that is left.
        """
        seconds = self._left * share / len(self._boards)
        for name in self._boards:
            replay, path = Replay(self._recording(name), self._seed), self._path(name, "replay")
            found = load_findings(path)
            explore(replay, found, states=len(found.keys) + self._states, seconds=seconds)
            save_findings(found, path)
            _say(
                f"{name}: {len(found.keys)} states, {len(found.violations)} violations, {len(found.situations)} situations"
            )

    def boots(self) -> None:
        """Boots situations of the replays that were not booted yet."""
        for number, name in enumerate(self._boards):
            replay, booted = Replay(self._recording(name), self._seed), self._booted(name)
            left = chosen(load_findings(self._path(name, "replay")), list(booted), self._seed)
            until = time.monotonic() + self._left / (len(self._boards) - number)
            for text, place in left:
                if time.monotonic() > until:
                    break
                (state,) = replay.find({place})
                booted[text] = boot(replay, KINDS[name](), state, self._folder / "work/sample")
                self._path(name, "booted").write_text(json.dumps(booted, indent=1))
            _say(f"{name}: {len(booted)} situations booted, {sum(map(bool, booted.values()))} not as predicted")

    def report(self) -> int:
        """Writes the report of all that is there; returns the number of broken promises."""
        replays, cuts = [], []
        for name in sorted(KINDS):
            if self._path(name, "replay").exists() and self._recording(name).exists():
                replay = Replay(self._recording(name), self._seed)
                times = [moment.time for moment in replay.moments]
                found = load_findings(self._path(name, "replay"))
                replays.append(Replayed(replay.story, found, times[0], times[-1], self._booted(name)))
            if self._path(name, "cuts").exists():
                cuts.append(load_cuts(self._path(name, "cuts"), name))
        values = summary(replays, cuts, self._seed)
        (self._folder / "report.json").write_text(json.dumps(values, indent=1))
        (self._folder / "report.html").write_text(page(replays, cuts, values))
        for each in replays:
            for violation in each.found.violations[:_SHOWN]:
                _say(f"{each.story.board}: {violation.problem}, {violation.place}\n    {violation.situation}")
        keys = ("states", "violations", "booted", "booted_broken", "cuts", "rested", "broken")
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
    both = options.both or options.defect in WITH_BOTH_SLOTS_FILLED
    folder = options.folder / ("both" if both else "") / options.defect
    folder.mkdir(parents=True, exist_ok=True)
    boards = options.board or list(KINDS)
    run = Run(
        folder, boards, seed=options.seed, minutes=options.minutes, states=options.states, defect=options.defect,
        kill=options.kill, both=both,
    )  # fmt: skip
    _say(f"seed {options.seed}, boards {' '.join(boards)}, {options.minutes:g} minutes, results of all runs: {folder}")
    wanted = ["cuts"] if options.kill else options.only or ["cuts", "replay", "boot"]
    if "cuts" in wanted:
        run.cuts(_SHARES["cuts"] if len(wanted) > 1 else 1.0)
    if "replay" in wanted or "boot" in wanted:
        run.recordings()
    if "replay" in wanted:
        run.replays(_SHARES["replay"] if "boot" in wanted else 1.0)
    if "boot" in wanted:
        run.boots()
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
    parser.add_argument("--only", action="append", choices=("cuts", "replay", "boot"), help="may be given again")
    parser.add_argument(
        "--kill", action="store_true", help="cuts alone, at each of which QEMU is killed, and the device boots"
    )
    parser.add_argument(
        "--both", action="store_true", help="the factory has filled both slots; the results have a folder of their own"
    )
    parser.add_argument(
        "--defect", choices=sorted(FOUND_BY_REPLAY), default="", help="alter the agent, which must be found"
    )
    parser.add_argument("--folder", type=lambda text: Path(text).absolute(), default=Path("build/torture").absolute())
    return parser.parse_args()


def _line(name: str, course: Course, cuts: int, booted: int) -> str:
    begin = f"cut {course.since}" if course.since else "the factory"
    text = f"{name} {course.number}: from {begin}, {len(course.cuts)} cuts, {course.status}, slot {course.running}, "
    return f"{text}{course.end:.0f} s; {cuts} cuts, {booted} booted {'; '.join(course.broken)}".rstrip()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
