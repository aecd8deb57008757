"""A whole update on every bootloader, with a power cut before each durable step of the daemon and of the boot environment.

Real are the loop, the activities that switch, the resumption, the memory, and the boot environments on their storage;
models are what the bootloaders do at power-on. Invented are the bytes of the slot, the server and time.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.loaders import BOARDS, Board
from support.pretend import Clock, Disk, Office, Patient, Probe, context, device
from support.steps import PowerCut, Steps

from agent.daemon.activities import stage, switch
from agent.daemon.activities.report import reporting
from agent.daemon.activities.settle import Settle
from agent.daemon.machine import Event, State, advance
from agent.daemon.record import Record
from agent.daemon.resume import event_after_start
from agent.daemon.runner import Patience, Runner, Step
from agent.hawkbit.feedback import Feedback
from agent.wire import Frame

REAL = {
    State.STAGING: stage.staging, State.ACTIVATING: switch.activating, State.REBOOTING: switch.rebooting,
    State.TRIAL: switch.trial, State.CONFIRMING: switch.confirming, State.REVERTING: switch.reverting,
    State.REPORTING: reporting,
}  # fmt: skip
SYSTEMS = ("healthy", "sick", "dead")
CASES = [
    (kind, system)
    for kind, board in sorted(BOARDS.items())
    for system in SYSTEMS
    if system != "dead" or board.attempts  # without attempts nothing leads back from a dead system; the manual says so
]

SAME_AS_UBOOT = ("grub", "grub-counting", "raspberrypi")  # where the marker is kept: in the same write


class Reset(BaseException):
    """The restart that the agent has asked for."""


class World:
    """One device with the first slot running, which is offered one update."""

    def __init__(self, board: Board, system: str, *, lossy: bool = False) -> None:
        self.board, self.system, self.lossy = board, system, lossy
        self.old, self.new = board.names
        self.steps, self.disk, self.office, self.clock = Steps(), Disk(), Office(), Clock()
        self.disk.strike = self.steps.hit
        self.office.on_say = self.heard
        self.probe = Probe()
        self.ends: list[str] = []
        self.whole = True
        self.boots = 0
        self.confirmed = False
        self.boot()

    def boot(self, argument: str = "") -> None:
        for _ in range(8):
            self.booted = self.board.power_on(argument)
            argument = ""
            assert self.booted == self.old or self.whole, "half of a system was booted"
            if self.booted == self.old or self.system != "dead":
                break
        else:
            raise AssertionError("no slot boots")
        self.boots += 1
        self.clock.now = 10.0
        self.probe.sick = self.booted == self.new and self.system == "sick"
        env = self.board.open(self.booted)
        here = device(env, self.booted, f"boot-{self.boots}", bootnames=self.board.names)
        inbox = Patient(self.clock)
        self.context = context(
            self.disk, env, device=here, clock=self.clock, server=self.office, probe=self.probe, inbox=inbox,
            reset=self.reset,
        )  # fmt: skip
        memory = self.context.memory
        trial = env.read().trial
        record = memory.load(
            trial=trial, booted=self.booted, others=tuple(name for name in self.board.names if name != self.booted)
        )
        event = event_after_start(record, boot_id=here.boot_id, booted=self.booted, trial=trial)
        if event is not None:
            memory.record = replace(record, state=advance(record.state, event), attempts=0)
        if self.booted == self.new and not self.confirmed:
            assert memory.record.state not in (State.IDLE, State.REPORTING), "the trial was forgotten"
        self.settle = settle = Settle(self.context)

        def act(record: Record) -> Step:
            if record.state in (State.IDLE, State.STAGING) or (record.state is State.REPORTING and record.attempts > 1):
                settle()
            if record.state in REAL:
                return REAL[record.state](self.context, record)
            if record.state is State.INSPECTING:
                record = replace(record, target=self.new, fallback=self.old, manifest_hash="ab" * 32)
            return Step(Event.DONE, record)

        self.runner = Runner(
            dict.fromkeys(State, act), memory=memory, boot_id=here.boot_id, clock=self.clock, inbox=inbox,
            patience=Patience(3, 1.0), observe=lambda _: None,
        )  # fmt: skip

    def write(self, _context: object, record: Record, *_: object) -> Frame:
        assert (record.target, self.booted) == (self.new, self.old)
        self.whole = False
        self.steps.hit()
        self.whole = True
        return Frame({"op": "installed", "written": 1})

    def reset(self, argument: str) -> None:
        raise Reset(argument)

    def heard(self, message: Feedback) -> None:
        if message.kind == "deployment" and message.finished in ("success", "failure"):
            self.ends.append(message.finished)
            if message.finished == "success":
                assert self.booted == self.new
                assert self.confirmed
                assert self.board.open(self.booted).read().trial == ""
                # With RAUC's one try a system that has just started and is not marked good loses its turn at once.
                assert self.board.lasting() == self.new or (self.board.kind == "grub" and self.board.attempts == 1)

    def turn(self) -> bool:
        """One turn; returns whether the power was cut in it."""
        memory = self.context.memory
        try:
            with self.steps.watched():
                memory.record = self.runner.turn(memory.record)
        except Reset as reset:
            self.boot(str(reset))
        except PowerCut:
            return True
        finally:
            trying = self.booted == self.new and not self.confirmed
            self.confirmed |= trying and memory.record.state is State.REPORTING and self.system == "healthy"
        return False

    def update(self, cut: int) -> None:
        """Takes an offered update to its end; the power is cut once, before this step."""
        self.context.device.env.mark_good(self.booted)
        self.context.memory.save(Record(state=State.OFFERED, origin="server", action_id="7", version="2"))
        self.steps.left = cut
        for _ in range(60):
            if self.turn():
                self.steps.left = None
                if self.lossy:
                    self.disk.documents.pop("record", None)
                # Confirmed means: the bootloader would stay with it. The daemon may not know it yet.
                self.confirmed |= self.booted == self.new and self.board.lasting() == self.new and self.certain()
                self.boot()
            if self.context.memory.record.state is State.IDLE:
                self.settle()
                return
        raise AssertionError(f"it did not end: {self.context.memory.record}")

    def certain(self) -> bool:
        """Whether the board stays with the new slot however often it starts."""
        kept = self.board.snapshot()
        try:
            return all(self.board.power_on() == self.new for _ in range(max(1, self.board.attempts)))
        finally:
            self.board.restore(kept)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # thousands of lines that say nothing about the one that matters
    yield
    logging.disable(logging.NOTSET)


def cuts(kind: str, system: str) -> Iterator[int]:
    """Every step; where each step starts programs, every third, so that the three systems together have had every one."""
    slow = kind in ("barebox", "custom")
    yield from itertools.count(SYSTEMS.index(system) if slow else 0, 3 if slow else 1)


@pytest.mark.req("S03", "S07", "S08")
@pytest.mark.parametrize(("kind", "system"), CASES)
def test_whatever_step_is_cut_the_device_ends_where_the_server_believes_it(
    kind: str, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = BOARDS[kind](tmp_path)
    try:
        factory = board.snapshot()
        for cut in cuts(kind, system):
            board.restore(factory)
            world = World(board, system)
            monkeypatch.setattr(stage, "work", world.write)
            world.update(cut)
            if world.ends[-1] == "success":
                assert (world.booted, board.lasting(), system) == (world.new, world.new, "healthy")
            else:
                assert (world.booted, board.lasting()) == (world.old, world.old)
            assert set(world.ends) == {world.ends[-1]}, "two different ends were told"
            assert board.open(world.booted).read().trial == ""
            assert not (board.state / "trial").exists()
            if world.steps.left is not None:  # the update is over and the power was never cut
                assert world.ends == ["success" if system == "healthy" else "failure"]
                assert cut > 20
                return
    finally:
        board.close()


@pytest.mark.req("S07", "S08")
@pytest.mark.parametrize(("kind", "system"), [case for case in CASES if case[0] not in SAME_AS_UBOOT])
def test_a_trial_is_known_even_when_the_record_is_lost_in_the_cut(
    kind: str, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``World.boot`` asserts that an unproven system is on trial; here its end is asserted, too."""
    board = BOARDS[kind](tmp_path)
    try:
        factory = board.snapshot()
        told = 0
        for cut in cuts(kind, system):
            board.restore(factory)
            world = World(board, system, lossy=True)
            monkeypatch.setattr(stage, "work", world.write)
            world.update(cut)
            told += bool(world.ends)
            assert board.lasting() == world.booted
            assert board.open(world.booted).read().trial == ""
            if system != "healthy":
                assert world.booted == world.old
                assert "success" not in world.ends
            if world.steps.left is not None:
                break
        assert told > 1
    finally:
        board.close()
