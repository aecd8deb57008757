"""Recordings made from recordings: the same update by an altered agent in this process, or with calls that never happened."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from crash.alterations import MAKES_ITS_DIRECTORY
from crash.disk import Flush
from crash.explore import moments
from crash.record import Recording, Told, unpickled
from crash.rig import Rig


def altered(recording: Recording, *defects: str) -> Recording:
    """The update once more, from the moment at which it was offered, by an agent with defects."""
    scenario = replace(recording.scenario, altered=(*recording.scenario.altered, *defects))
    begin = next(each for each in moments(recording) if recording.action_id in unpickled(Told(each.server)).actions)
    rig = Rig(replace(recording, scenario=scenario))
    try:
        there = begin.disk.survivors(Random(0), "everything")
        if MAKES_ITS_DIRECTORY & set(defects):
            there = {name: content for name, content in there.items() if not name.startswith("state/")}
        rig.put(there)
        ended = rig.live(begin.server, 1)
        if ended.problems:
            raise RuntimeError(f"without a power cut it works, or it is no defect to look for: {ended.problems}")
        timeline = (Told(begin.server), *rig.interposer.timeline())
        return replace(
            recording, scenario=scenario, base=rig.base, directories=rig.interposer.directories(), timeline=timeline
        )
    finally:
        rig.close()


def without_flushes(recording: Recording, path: str) -> Recording:
    """The same recording as if no flush of one file had ever happened; for files that are there at the beginning."""
    number = recording.names().files[path]
    kept = tuple(what for what in recording.timeline if not (isinstance(what, Flush) and what.file == number))
    if len(kept) == len(recording.timeline):
        raise ValueError(f"{path} is never flushed")
    return replace(recording, timeline=kept)
