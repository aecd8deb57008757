"""What a device records of updates, through the whole chain, and what the server keeps of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.audit import opened, records
from support.shelf import Shelf, offer, trust
from support.tampering import Parts, flipped, parts_of

from agent.demo.world import World


@pytest.mark.req("C16", "N04", "N06")
def test_each_decision_of_a_good_and_of_a_forged_update_is_recorded(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    good = shelf.bundle("2.0.0", extra="[meta.cra]\nmin-version=1.5.0\n")
    parts = parts_of(good)
    forged = tmp_path / "forged.raucb"
    forged.write_bytes(Parts(parts.payload, flipped(parts.cms, -100)).joined())
    with trust(World(tmp_path / "world", size=8)) as world:
        world.wait_settled()
        action = offer(world, good)
        assert world.wait_ended(action) == "FINISHED", world.messages(action)
        world.wait_settled()
        refused = offer(world, forged)
        assert world.wait_ended(refused) == "ERROR"
        world.wait_settled()
        last = [entry for entry in world.history(refused) if entry.type == "ERROR"][-1].messages
        directory = next(world.directory.rglob("audit"))
    kept = records(directory)
    events = [(each["event"], each["subject"]) for each in kept if each["event"] != "state"]
    wanted = [
        ("boot", "A"), ("health", "passed"), ("poll", "ok"), ("trust", None), ("download-started", None),
        ("download-finished", "complete"), ("verify-passed", "2.0.0"), ("boot-choice", "revert"),
        ("download-started", None), ("download-finished", "complete"), ("boot-choice", "activate"), ("boot", "B"),
        ("health", "passed"), ("boot-choice", "confirm"), ("confirmed", "2.0.0"), ("floor", "1.5.0"),
        ("finished", "success"), ("verify-failed", None), ("finished", "failure"),
    ]  # fmt: skip
    rest = iter(events)
    for event, subject in wanted:
        assert any(each[0] == event and subject in (None, each[1]) for each in rest), f"{event} {subject} in {events}"
    states = [each["subject"] for each in kept if each["event"] == "state" and each["data"].get("action") == action]
    assert states == [
        "offered", "inspecting", "waiting", "staging", "staged", "activating", "rebooting", "trial", "confirming",
        "reporting",
    ]  # fmt: skip
    passed = next(each for each in kept if each["event"] == "verify-passed")
    assert re.fullmatch("[0-9a-f]{64}", passed["data"]["certificate"])
    assert opened(directory).verify() == (True, 0)
    (sealed,) = [text for text in last if text.startswith("audit: ")]
    _, number, head = sealed.split()
    lines = [json.loads(line) for path in directory.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert head in [line["hash"] for line in lines if "record" in line and line["record"]["seq"] == int(number)]
