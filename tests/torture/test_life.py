"""A device is cut while it lives, stands still for it, and is asked for the truth when it rests; here it is a play."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from boot.lab.vm import Unheard

from torture.course import Queue
from torture.environment import Environment
from torture.judge import Documents, Found
from torture.life import Life
from torture.rest import Lived
from torture.results import Course
from torture.test_rest import STORY, found

# Each step: what the console says, and the status on the server.
PLAY = [
    ("OTA: booting slot A, attempts left: 0x2", "RUNNING"),
    ("ota-agent[1]: activating", "RUNNING"),
    ("OTA: booting slot B, attempts left: 0x2", "RUNNING"),
    ("ota-agent[1]: confirming", "FINISHED"),
]


class Server:
    """What it knows is the last status of the play."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.status = "RUNNING"

    def action_status(self, _: str) -> str:
        return self.status

    def history(self, _: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(type=self.status, messages=["told"])]


class Machine:
    """One step of the play for each look at it. Its process does nothing."""

    def __init__(self, directory: Path, server: Server, process: int) -> None:
        self.console = SimpleNamespace(log=directory / "console.log")
        self.process, self.cpu_seconds = process, 0.0
        self._server, self._left = server, list(PLAY)

    def until(self, wanted: Callable[[], object], what: str, _: float) -> None:
        for _ in range(100):
            if wanted():
                return
            self.cpu_seconds += 1.0
            if self._left:
                said, self._server.status = self._left.pop(0)
                with self.console.log.open("a") as log:
                    log.write(said + "\n")
                self._server.seen.append(said)
            time.sleep(0.02)  # until it was read
        raise Unheard(f"this did not happen: {what}")


class Stage:
    """A victim; ``found`` is what is on its drives, ``starts`` and ``saved`` what was asked of it."""

    def __init__(self, directory: Path, process: int) -> None:
        server = Server()
        self.device = SimpleNamespace(
            server=server, vm=Machine(directory, server, process), version="2.0.0", cut=lambda: self.starts.append("cut"),
            power_on=lambda wait: self.starts.append("on"),
        )  # fmt: skip
        self.story, self.ledger, self.drives = STORY, SimpleNamespace(action="1"), self
        self.starts: list[str] = []
        self.saved: list[str] = []
        self.on_drives = found(BOOT_A_LEFT="2")

    def found(self, *, whole: bool = False) -> Found:
        return self.on_drives

    def save(self, name: str) -> None:
        state = Path(f"/proc/{self.device.vm.process}/stat").read_text().rpartition(")")[2].split()[0]
        self.saved.append(f"{name} {state}")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr("torture.life._LOOK", 0.0)
    with subprocess.Popen(["sleep", "600"]) as process:
        yield Stage(tmp_path, process.pid)
        process.kill()


def lived(stage: Stage, *, cuts: int = 0, kills: int = 0, depth: int = 0) -> Course:
    """A run with a cut at each of the first looks."""
    left = SimpleNamespace(cuts=cuts, kills=kills)

    def due(phase: str, now: float) -> bool:
        left.cuts -= 1
        return left.cuts >= 0

    def kill() -> bool:
        left.kills -= 1
        return left.kills >= 0

    hazard = SimpleNamespace(due=due, kills=kill)
    return Life(stage, hazard, Queue(Counter()), first=11, depth=depth).go(5, 1, 0)


def test_a_run_without_a_cut_ends_at_rest_and_is_told_as_it_was(stage):
    course = lived(stage)
    assert (course.number, course.status, course.running, course.broken) == (5, "FINISHED", "B", [])
    assert [name for _, name in course.boots] == ["A", "B"]
    assert [status for _, status in course.said] == ["RUNNING", "FINISHED"]
    assert stage.starts == ["on", "cut", "cut"]


def test_the_machine_stands_still_while_a_course_that_is_new_is_copied_and_then_goes_on(stage):
    course = lived(stage, cuts=4)
    assert [cut.number for cut in course.cuts] == [11, 12, 13, 14]
    assert stage.saved == ["11 T", "12 T"], "alike ones are copied twice"
    assert stage.starts == ["on", "cut", "cut"] and course.depth == 0


def test_a_machine_that_is_killed_boots_and_has_lived_through_a_cut_more(stage):
    course = lived(stage, cuts=1, kills=1, depth=1)
    assert [cut.killed for cut in course.cuts] == [True] and course.depth == 2
    assert stage.starts == ["on", "cut", "on", "cut", "cut"] and not stage.saved


@pytest.mark.parametrize(
    ("at_cut", "lived_through"),
    [
        (found(BOOT_ORDER="A"), Lived(repeated=1)),
        (found(OTA_TRIAL="B,1,abc"), Lived(trials=1, repeated=1)),
        (found(), Lived(proven=1, repeated=1)),
    ],
)
def test_a_power_cut_counts_as_before_the_trial_on_it_or_after_the_proof(stage, monkeypatch, at_cut, lived_through):
    asked: list[Lived] = []
    monkeypatch.setattr("torture.life.wrong", lambda *given, **_: asked.append(given[3]) or [])
    stage.found = lambda whole=False: at_cut if len(stage.starts) < 3 else found()
    lived(stage, cuts=1, kills=1)
    assert asked == [lived_through]


def test_a_broken_promise_at_a_cut_is_in_the_course_of_the_run(stage):
    stage.on_drives = replace(found(), environment=Environment(None, (False, False)))
    course = lived(stage, cuts=1)
    assert course.cuts[0].problems == ("no copy of the environment is valid",)
    assert "no copy of the environment is valid" in course.broken


def test_a_device_that_never_rests_is_a_broken_promise(stage):
    stage.on_drives = replace(found(), documents=Documents({"record": {"state": "reporting"}}))
    (problem,) = lived(stage).broken
    assert problem.startswith("it does not come to rest: this did not happen: it rests")


def test_a_device_that_runs_what_was_not_started_is_a_broken_promise(stage):
    stage.device.version = "1.0.0"
    assert lived(stage).broken == ["slot B was started, and what runs is 1.0.0"]
