"""Runs of one board, one after the other: from the factory, then from cuts of those before; and its recording."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from boot.lab.boards import Board

from torture.course import Queue, driven
from torture.hazard import RECORDED, STANDS_STILL, Hazard, Manner
from torture.life import Life
from torture.record import finish
from torture.results import Course, Cuts
from torture.stamps import Stamps
from torture.victim import FACTORY, Victim, sparse

_REST = 12.0  # seconds of real time: the file systems write back what is left


def runs(
    board: Board,
    directory: Path,
    cuts: Cuts,
    seed: int,
    *,
    altered: Sequence[str] = (),
    recording: Path | None = None,
    manner: Manner = STANDS_STILL,
    both: bool = False,
) -> Iterator[Course]:
    """Lives of a device, without end; each is also added to ``cuts``.

    Args:
        board: what it is.
        directory: a new one, which is removed in the end, unless a promise was broken.
        cuts: what was done so far.
        seed: of the run of the command.
        altered: defects of its agent.
        recording: where the recording of the first one is to be; None for no recording.
        manner: how their power fails, those that are recorded apart.
        both: see ``Victim``.
    """
    queue = Queue(driven(cuts.booted))
    logs = directory / "recording" if recording else None
    with Victim(board, directory, altered, logs, both=both) as victim:
        if recording and logs:
            course = _recorded(victim, cuts, queue, seed, logs)
            victim.not_recorded()
            recording.parent.mkdir(parents=True, exist_ok=True)
            logs.rename(recording)
            yield course
        while True:
            yield _next(victim, cuts, queue, seed, manner)


def _recorded(victim: Victim, cuts: Cuts, queue: Queue, seed: int, logs: Path) -> Course:
    for drive in victim.story.drives:
        sparse(victim.path(FACTORY) / f"{drive.name}.img", logs / f"{drive.name}.base")
    with Stamps(victim.device.vm.console.log) as stamps:
        course = _lived(victim, cuts, queue, seed, longer=_REST, manner=RECORDED)
    finish(logs, victim.story, victim.images, told=victim.ledger.told, boots=stamps.boots)
    return course


def _next(victim: Victim, cuts: Cuts, queue: Queue, seed: int, manner: Manner) -> Course:
    kept = queue.take()
    name = str(kept.cut.number) if kept else FACTORY
    victim.load(name)
    if kept is None:
        return _lived(victim, cuts, queue, seed, manner=manner)
    course = _lived(victim, cuts, queue, seed, since=kept.cut.number, depth=kept.depth, manner=manner)
    if not course.broken:
        victim.drop(name)
    return course


def _lived(
    victim: Victim, cuts: Cuts, queue: Queue, seed: int,
    *, since: int = 0, depth: int = 0, longer: float = 0.0, manner: Manner,
) -> Course:  # fmt: skip
    number = 1 + len(cuts.runs)
    hazard = Hazard(seed, cuts.board, number, manner)
    life = Life(victim, hazard, queue, first=1 + len(cuts.all), depth=depth)
    cuts.runs.append(life.go(number, seed, since, longer))
    return cuts.runs[-1]


def remove(directory: Path, cuts: Cuts) -> None:
    """Removes what the runs have left; the copies with which a run began in which a promise was broken stay."""
    if not cuts.broken:
        shutil.rmtree(directory, ignore_errors=True)
