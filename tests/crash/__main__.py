"""``python -m crash`` records updates and lets the power fail at every moment of them: ``docs/crash.md``."""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crash.explore import Explorer, Findings
from crash.record import Recording, record
from crash.scenarios import SCENARIOS

_SHOWN = 20  # violations
_RECORDING, _FINDINGS = "recording.pickle", "findings-{}.pickle"


def main() -> int:
    options = _options()
    if options.record:
        return _record(options.record, options.folder)
    if options.share:
        return _explore(options)
    began = time.monotonic()
    names = options.only or [each.name for each in SCENARIOS]
    with ThreadPoolExecutor(options.workers) as pool:
        if not options.again:
            shutil.rmtree(options.folder, ignore_errors=True)
            options.folder.mkdir(parents=True)
            _each(pool, options.folder, [[f"--record={name}"] for name in names])
        took = time.monotonic() - began
        _say(f"{len(names)} updates recorded in {took:.0f} s; seed {options.seed}")
        common = [
            f"--seed={options.seed}",
            f"--seconds={options.seconds - took}",
            *(f"--only={name}" for name in names),
        ]
        common += [f"--states={-(-options.states // options.workers)}", f"--workers={options.workers}"]
        _each(pool, options.folder, [[*common, f"--share={number}"] for number in range(1, options.workers + 1)])
    found = [_read(options.folder / _FINDINGS.format(number)) for number in range(1, options.workers + 1)]
    states = _report(found)
    violations = sum(len(each.violations) for each in found)
    used = os.times()
    _say(f"  {used.children_user + used.children_system:.0f} s of processor time on {options.workers} processes")
    _say(f"crash states: {states}, violations: {violations}, seconds: {time.monotonic() - began:.0f}")
    return int(violations > 0)


def _each(pool: ThreadPoolExecutor, folder: Path, calls: Iterable[Sequence[str]]) -> None:
    """Runs this program with each of some arguments, as many at a time as the pool has threads."""
    argv = [sys.executable, "-m", "crash", f"--folder={folder}"]
    for _ in pool.map(lambda call: subprocess.run([*argv, *call], check=True), calls):
        pass


def _record(name: str, folder: Path) -> int:
    scenario = next(each for each in SCENARIOS if each.name == name)
    made = record(scenario, folder / name)
    (folder / name / _RECORDING).write_bytes(pickle.dumps(made))
    shutil.rmtree(folder / name / "trace")
    return 0


def _explore(options: argparse.Namespace) -> int:
    recordings: list[Recording] = [
        pickle.loads((options.folder / name / _RECORDING).read_bytes()) for name in options.only
    ]
    share = (options.share - 1, options.workers)
    explorer = Explorer(recordings, seed=options.seed, share=share, limit=options.states, seconds=options.seconds)
    (options.folder / _FINDINGS.format(options.share)).write_bytes(pickle.dumps(explorer.run()))
    return 0


def _read(path: Path) -> Findings:
    found = pickle.loads(path.read_bytes())
    if not isinstance(found, Findings):
        raise TypeError(f"{path} holds no findings")
    return found


def _report(found: Sequence[Findings]) -> int:
    """Tells what was found; returns the number of distinct states."""
    kinds: Counter[tuple[str, int]] = sum((each.kinds for each in found), Counter())
    _say(f"  {'':26} {'one cut':>8} {'two':>8} {'three':>8}")
    for scenario in dict.fromkeys(name for name, _ in sorted(kinds)):
        _say(f"  {scenario:26} {kinds[scenario, 1]:8} {kinds[scenario, 2]:8} {kinds[scenario, 3]:8}")
    for violation in [violation for each in found for violation in each.violations][:_SHOWN]:
        _say(f"{violation.place}: {violation.problem}\n    {violation.story}")
    return len(set().union(*(each.keys for each in found)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m crash", description=__doc__)
    parser.add_argument("--states", type=int, default=12_000, help="end after so many states (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=285, help="end after so much time (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default %(default)s)")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1), help="processes at the same time")
    parser.add_argument("--only", action="append", metavar="SCENARIO", help="may be given again")
    parser.add_argument(
        "--folder", type=lambda text: Path(text).absolute(), default=Path("build/crash"), help="for the recordings"
    )
    parser.add_argument("--again", action="store_true", help="use the recordings that are there")
    parser.add_argument("--record", metavar="SCENARIO", help=argparse.SUPPRESS)  # the part of one process
    parser.add_argument("--share", type=int, help=argparse.SUPPRESS)  # the same
    options = parser.parse_args()
    options.folder = options.folder.absolute()
    return options


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
