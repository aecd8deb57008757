"""The life of an update against everything at once: random failures, kills and power cuts at any durable write.

Real are the table, the loop, the resumption, the memory, the rules of the boot environment, the activities that touch
either of them, and the boot script of the other side. Invented are the bytes, the server and time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.pretend import FULL, Clock, Disk, Environment, Office, Patient, Probe, context, device

from agent.daemon.activities import stage, switch
from agent.daemon.activities.report import reporting
from agent.daemon.activities.settle import Settle
from agent.daemon.inbox import Cancelled
from agent.daemon.machine import CANCELLABLE, Event, State, advance
from agent.daemon.record import Record
from agent.daemon.resume import event_after_start
from agent.daemon.runner import Patience, Runner, Step
from agent.demo.bootscript import choose
from agent.errors import BundleError, EnvironmentFault
from agent.hawkbit.feedback import Feedback
from agent.wire import Frame
from bootloader_env.errors import BootEnvError

PASSING = EnvironmentFault("net.timeout", "too slow")
LASTING = BundleError("bundle.unsigned", "no signature")
ERRORS = st.lists(st.sampled_from([PASSING, LASTING, ValueError("a defect")]), min_size=1, max_size=4)


class Killed(BaseException):
    """The daemon is gone; the system goes on."""


class PowerCut(BaseException):
    """Everything is gone but what is on the medium. Also what a reset is."""


class Life(RuleBasedStateMachine):
    """One device for its whole life."""

    patched: pytest.MonkeyPatch

    def __init__(self) -> None:
        super().__init__()
        self.disk, self.environment = Disk(), Environment()
        self.clock, self.probe, self.office = Clock(), Probe(), Office()
        self.office.on_say = self.heard
        self.disk.strike = self.environment.strike = self.strike
        self.countdown: int | None = None
        self.blow: type[BaseException] = PowerCut
        self.errors: list[Exception] = []
        self.whole = {"A": True, "B": True}
        self.proven = {"A", "B"}
        self.bootable = True  # the system of the newest bundle
        self.sick = False
        self.reset_works = True
        self.action = 0
        logging.disable(logging.CRITICAL)  # thousands of lines that say nothing about the one that matters
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(stage, "work", self.write)
        self.boots = 0
        self.inbox = Patient(self.clock)
        self.boot()

    def teardown(self) -> None:
        try:
            self.heal()
        finally:
            self.patched.undo()
            logging.disable(logging.NOTSET)

    # What the surroundings do.

    def strike(self) -> None:
        if self.countdown is None:
            return
        self.countdown -= 1
        if self.countdown < 0:
            self.countdown = None
            raise self.blow

    def boot(self) -> None:
        """Power on: the boot script chooses until something boots."""
        for _ in range(12):
            found = choose(self.environment.variables, ("A", "B"))
            assert found is not None, "the device is dead"
            self.environment.variables = dict(found.variables)
            assert self.whole[found.bootname], "a half-written slot was chosen"
            if found.bootname in self.proven or self.bootable:
                break
        else:
            raise AssertionError("no slot boots")
        self.boots += 1
        self.clock.now = 10.0
        self.booted = found.bootname
        self.probe.sick = self.sick and self.booted not in self.proven
        self.start()

    def start(self) -> None:
        """The daemon starts, as ``Daemon`` does it."""
        self.inbox.take_cancel()
        here = device(self.environment, self.booted, f"boot-{self.boots}")
        self.context = context(
            self.disk, self.environment, device=here, clock=self.clock, server=self.office, probe=self.probe,
            inbox=self.inbox, reset=self.reset,
        )  # fmt: skip
        memory = self.context.memory
        trial = self.environment.read().trial
        others = tuple(name for name in "AB" if name != self.booted)
        record = memory.load(trial=trial, booted=self.booted, others=others)
        event = event_after_start(record, boot_id=here.boot_id, booted=self.booted, trial=trial)
        if event is not None:
            memory.record = replace(record, state=advance(record.state, event), attempts=0)
        self.settle = settle = Settle(self.context)
        real: dict[State, Callable[..., Step]] = {
            State.STAGING: stage.staging, State.ACTIVATING: switch.activating, State.REBOOTING: switch.rebooting,
            State.TRIAL: switch.trial, State.CONFIRMING: self.confirming, State.REVERTING: switch.reverting,
            State.REPORTING: reporting,
        }  # fmt: skip

        def act(record: Record) -> Step:
            if record.state in (
                State.IDLE,
                State.OFFERED,
                State.INSPECTING,
                State.WAITING,
                State.STAGING,
                State.STAGED,
            ) or (record.state is State.REPORTING and record.attempts > 1):
                settle()
            if record.state is State.IDLE:
                return Step(Event.OFFERED, Record(origin="server", action_id=str(self.action), version="2"))
            if self.errors and record.state is not State.STAGING:
                error = self.errors.pop()
                if record.state in CANCELLABLE or not isinstance(error, Cancelled):
                    raise error
            if record.state in real:
                return real[record.state](self.context, record)
            if record.state is State.INSPECTING:
                target = "B" if self.booted == "A" else "A"
                record = replace(
                    record, target=target, fallback=self.booted, manifest_hash=f"{self.action:016x}" * 4
                )  # fmt: skip
            return Step(Event.DONE, record)

        self.runner = Runner(
            dict.fromkeys(State, act), memory=memory, boot_id=here.boot_id, clock=self.clock,
            inbox=self.context.inbox, patience=Patience(3, 1.0), observe=lambda _: None,
        )  # fmt: skip

    def write(self, _context: object, record: Record, *_: object) -> Frame:
        """What the installer does to the slot."""
        assert record.target != self.booted
        self.whole[record.target] = False
        self.proven.discard(record.target)
        if self.errors:
            raise self.errors.pop()
        self.strike()
        self.whole[record.target] = True
        return Frame({"op": "installed", "written": 1})

    def confirming(self, context: Any, record: Record) -> Step:
        step = switch.confirming(context, record)
        self.proven.add(record.target)
        return step

    def reset(self, _: str) -> None:
        if self.reset_works:
            raise PowerCut
        raise EnvironmentFault("reboot.failed", "nothing happens")

    def heard(self, message: Feedback) -> None:
        """Success is a claim about this device: it must be true when it is made."""
        if (message.kind, message.finished) == ("deployment", "success"):
            state = self.environment.read()
            assert state.trial == ""
            assert state.primary == self.booted
            assert ("confirm", self.booted) in self.environment.calls
            assert self.context.knowledge.content(self.booted).state == "confirmed"
            assert not self.probe.sick

    def turn(self) -> None:
        try:
            self.context.memory.record = self.runner.turn(self.context.memory.record)
        except Killed:
            self.start()
        except PowerCut:
            self.boot()
        except EnvironmentFault as error:  # the record cannot be saved: ``Runner.run`` goes on after a pause
            if error is not FULL:
                raise

    # What may happen.

    @initialize()
    def factory(self) -> None:
        assert self.booted == "A"

    @precondition(lambda self: self.context.memory.record.state is State.IDLE)
    @rule(system=st.sampled_from(["healthy", "healthy", "sick", "dead"]))
    def offer(self, system: str) -> None:
        self.bootable, self.sick = system != "dead", system == "sick"
        self.action += 1
        self.turn()

    @precondition(lambda self: self.context.memory.record.state is not State.IDLE)
    @rule(times=st.integers(1, 12))
    def go_on(self, times: int) -> None:
        for _ in range(times):
            if self.context.memory.record.state is not State.IDLE:
                self.turn()

    @rule(after=st.integers(0, 5), blow=st.sampled_from([Killed, PowerCut]))
    def plan_a_blow(self, after: int, blow: type[BaseException]) -> None:
        self.countdown, self.blow = after, blow

    @rule(kind=st.sampled_from(["", "", "", "errors", "full", "bootenv.io", "bootenv.full", "reset"]), errors=ERRORS)
    def trouble(self, kind: str, errors: list[Exception]) -> None:
        self.errors = list(errors) if kind == "errors" else []
        self.disk.full = kind == "full"
        broken = BootEnvError(kind, "broken", retryable=kind == "bootenv.io")
        self.environment.broken = broken if kind.startswith("bootenv") else None
        self.reset_works = kind != "reset"

    @precondition(lambda self: self.context.memory.record.state in (State.OFFERED, State.WAITING, State.STAGING))
    @rule(by_server=st.booleans())
    def cancel(self, by_server: bool) -> None:
        if by_server:
            self.errors = [Cancelled(by_server=True)]
        else:
            self.context.inbox.cancel()
        self.turn()

    @rule(power=st.booleans())
    def start_again(self, power: bool) -> None:
        if power:
            self.boot()
        else:
            self.start()

    # What holds whatever happens.

    @invariant()
    def one_complete_slot_is_selected(self) -> None:
        found = choose(self.environment.variables, ("A", "B"))
        assert found is not None
        assert self.whole[found.bootname], "half of a system would boot"
        if found.bootname in self.proven:
            return
        state = self.environment.read()
        assert state.trial.split(",")[0] == found.bootname, "neither proven nor on trial"
        behind = state.order[state.order.index(found.bootname) + 1 :]
        assert any(name in self.proven for name in behind), "a trial without a way back"

    def heal(self) -> None:
        """When nothing fails any more, the device comes to rest, and the server has heard one truth about each action."""
        self.countdown, self.errors, self.environment.broken = None, [], None
        self.disk.full, self.reset_works = False, True
        for _ in range(60):
            if self.context.memory.record.state is State.IDLE:
                break
            self.turn()
        assert self.context.memory.record.state is State.IDLE, self.context.memory.record
        self.settle()
        state = self.environment.read()
        assert state.trial == ""
        assert state.primary == self.booted
        assert self.booted in self.proven
        self.one_complete_slot_is_selected()


TestLife = pytest.mark.req("S07", "S08", "S02")(Life.TestCase)
TestLife.settings = settings(
    max_examples=200,
    derandomize=True,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
