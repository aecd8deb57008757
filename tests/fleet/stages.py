"""What an operator wants of a staged rollout, as functions that any server can be put under; they return figures."""

from __future__ import annotations

from itertools import pairwise

from fleet.rollouts import NAMES, Figures, Fleet, versions
from fleet.systems import DEAD, GOOD, SICK, System

OLD, NEW = "1.0.0", "1.1.0"
CODES = {SICK: ("health.failed",), DEAD: ("boot.fallback",)}
SIZES = {"canary": 2, "r10": 18, "r50": 80, "r100": 100}  # of 200; hawkBit rounds


def bad_version_stops_at_the_canaries(fleet: Fleet, health: str) -> Figures:
    """Every device ends on its old version, the canaries' failures are told with their reason, nobody else was touched."""
    rollout = fleet.roll_out(System(NEW, health))
    figures = fleet.run(rollout, "paused")
    groups = fleet.groups(rollout)
    assert {name: len(members) for name, members in groups.items()} == SIZES
    assert fleet.group_statuses(rollout) == {
        "canary": "error", "r10": "scheduled", "r50": "scheduled", "r100": "scheduled",
    }  # fmt: skip
    assert versions(fleet.devices) == {OLD: 200}
    wrong = {device.controller_id: fleet.wrong(device, "ERROR", CODES[health], NEW) for device in groups["canary"]}
    assert not any(wrong.values()), wrong
    assert all(len(device.board.boots) > 2 for device in groups["canary"])
    for name in NAMES[1:]:
        for device in groups[name]:
            assert (device.board.boots, device.seen.words) == (["A"], [])
            assert fleet.management.installed(device.controller_id) is None
            assert fleet.strange_attributes(device) == []
            assert fleet.management.assigned(device.controller_id) is None
            (action,) = fleet.actions(device)
            history = fleet.management.statuses(device.controller_id, int(action["id"]))
            assert {entry["type"] for entry in history} <= {"scheduled"}
    assert figures.statuses["error"] == 2
    assert figures.statuses["scheduled"] + figures.statuses.get("notstarted", 0) == 198
    return figures


def good_version_reaches_everybody(fleet: Fleet) -> Figures:
    """Version, attributes and history are right for every device, and each stage began when the one before had ended."""
    rollout = fleet.roll_out(System(NEW, GOOD))
    figures = fleet.run(rollout, "finished")
    groups = fleet.groups(rollout)
    assert {name: len(members) for name, members in groups.items()} == SIZES
    assert set(fleet.group_statuses(rollout).values()) == {"finished"}
    assert versions(fleet.devices) == {NEW: 200}
    wrong = {device.controller_id: fleet.wrong(device, "FINISHED", (), NEW) for device in fleet.devices}
    assert not any(wrong.values()), {name: found for name, found in wrong.items() if found}
    assert all(device.board.boots == ["A", "B"] for device in fleet.devices)
    for before, after in pairwise(NAMES):
        told = max(device.seen.told_at for device in groups[before])
        begun = min(device.seen.offered_at for device in groups[after])
        assert told <= begun, f"{after} began before {before} had ended"
    assert figures.statuses["finished"] == 200
    return figures


def some_failures_are_borne(fleet: Fleet) -> Figures:
    """One device in twenty fails, which is below the threshold: the rest gets the version, and each failure is told."""
    rollout = fleet.roll_out(System(NEW, GOOD), success=90, failure=10)
    doomed = {
        device.controller_id: (SICK, DEAD)[number % 2]
        for members in list(fleet.groups(rollout).values())[1:]
        for number, device in enumerate(members[::20])
    }
    for device in fleet.devices:
        if device.controller_id in doomed:
            device.board.fates[NEW] = doomed[device.controller_id]
    assert len(doomed) == 10
    figures = fleet.run(rollout, "finished")
    assert versions(fleet.devices) == {OLD: 10, NEW: 190}
    wrong = {}
    for device in fleet.devices:
        fate = doomed.get(device.controller_id, GOOD)
        word = "FINISHED" if fate == GOOD else "ERROR"
        wrong[device.controller_id] = fleet.wrong(device, word, CODES.get(fate, ()), NEW)
    assert not any(wrong.values()), {name: found for name, found in wrong.items() if found}
    assert (figures.statuses["finished"], figures.statuses["error"]) == (190, 10)
    return figures


def too_many_failures_stop_it_where_they_show(fleet: Fleet) -> Figures:
    """The canaries are well, but too many of the next group are not: nothing more begins."""
    rollout = fleet.roll_out(System(NEW, GOOD), success=90, failure=10)
    groups = fleet.groups(rollout)
    for device in groups["r10"][:2]:  # 11 %
        device.board.fates[NEW] = SICK
    figures = fleet.run(rollout, "paused")
    assert fleet.group_statuses(rollout) == {
        "canary": "finished", "r10": "error", "r50": "scheduled", "r100": "scheduled",
    }  # fmt: skip
    assert versions(fleet.devices) == {OLD: 182, NEW: 18}
    failed = groups["r10"][:2]
    for device in [*groups["canary"], *groups["r10"]]:
        word, codes = ("ERROR", CODES[SICK]) if device in failed else ("FINISHED", ())
        assert fleet.wrong(device, word, codes, NEW) == []
    assert all(device.board.boots == ["A"] for device in [*groups["r50"], *groups["r100"]])
    assert (figures.statuses["finished"], figures.statuses["error"]) == (18, 2)
    return figures
