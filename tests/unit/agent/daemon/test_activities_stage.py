"""Patience with a slot: as long as it gets on, and no longer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.pretend import Clock, Disk, Environment, Office, Patient, context

from agent.daemon.activities import stage
from agent.daemon.machine import State
from agent.daemon.record import Record
from agent.daemon.runner import Patience, Runner
from agent.errors import EnvironmentFault
from agent.wire import Frame

MIB = 1024 * 1024
ATTEMPTS = 3
LOCAL = Record(state=State.STAGING, origin="local", target="B", fallback="A", manifest_hash="ab" * 32)


class Installer:
    """Tells checkpoints up to ``reach``, then fails."""

    def __init__(self, code: str) -> None:
        self.code, self.reach, self.step, self.tries = code, 16, 0, 0

    def work(
        self, _context: object, record: Record, request: dict[str, object], hear: object, _look: object = None
    ) -> Frame:
        self.tries += 1
        starts = request["starts"]
        assert isinstance(starts, dict)
        for mib in range(starts.get("rootfs.img", 0) // MIB + 8, self.reach + 1, 8):
            hear(Frame({"op": "checkpoint", "image": "rootfs.img", "offset": mib * MIB}))  # type: ignore[operator]
        self.reach += self.step
        raise EnvironmentFault(self.code, "failed")


def tries(installer: Installer, monkeypatch: pytest.MonkeyPatch, most: int = 40) -> int:
    """How often it is tried before the update is given up."""
    clock = Clock()
    here = replace(context(Disk(), Environment(), clock=clock), inbox=Patient(clock))
    monkeypatch.setattr(stage, "work", installer.work)
    runner = Runner(
        dict.fromkeys(State, lambda record: stage.staging(here, record)), memory=here.memory, boot_id="boot-1",
        clock=clock, inbox=here.inbox, patience=Patience(ATTEMPTS, 1.0), observe=lambda _: None,
    )  # fmt: skip
    record = LOCAL
    while record.state is State.STAGING and installer.tries < most:
        record = runner.turn(record)
    return installer.tries


@pytest.mark.req("C11")
def test_a_medium_that_never_keeps_what_is_written_is_not_written_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try begins at the start and passes the same checkpoints once more: that is no progress."""
    assert tries(Installer("slot.read-back"), monkeypatch) == ATTEMPTS


def test_a_medium_that_fails_at_one_place_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tries(Installer("slot.write-failed"), monkeypatch) == ATTEMPTS


def test_whoever_gets_on_may_fail_as_often_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    installer = Installer("child.died")
    installer.step = 8
    assert tries(installer, monkeypatch) == 40


def test_the_writing_is_told_once_however_often_it_begins_before_a_first_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, server = Clock(), Office()
    here = replace(context(Disk(), Environment(), clock=clock, server=server), inbox=Patient(clock))
    installer = Installer("net.connect")
    installer.reach = 0
    monkeypatch.setattr(stage, "work", installer.work)
    runner = Runner(
        dict.fromkeys(State, lambda record: stage.staging(here, record)), memory=here.memory, boot_id="boot-1",
        clock=clock, inbox=here.inbox, patience=Patience(ATTEMPTS, 1.0), observe=lambda _: None,
    )  # fmt: skip
    record = replace(LOCAL, origin="server", action_id="7")
    while installer.tries < 5:
        record = runner.turn(record)
    assert [message.code for message in server.said] == [140]
