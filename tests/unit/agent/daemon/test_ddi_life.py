"""Any sequence of what a server may say, against a device that may be killed at any durable write.

Real are all activities, the loop, the record, the outbox, the rules of the boot environment and the boot script; hawkBit is
its rules in memory. Invented are the bytes of bundles and time. The promises: nobody is lied to, and every action ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.offers import Action, Hawkbit, artifact, chunk
from support.pretend import Clock, Disk, Environment, Patient, Probe, context, device

from agent.daemon.activities import activities, fetch, stage, switch
from agent.daemon.activities.watch import Watch
from agent.daemon.inbox import Consent, Stopped
from agent.daemon.machine import State, advance
from agent.daemon.record import Record
from agent.daemon.resume import event_after_start, lost_success
from agent.daemon.runner import Patience, Runner
from agent.demo.bootscript import choose
from agent.errors import EnvironmentFault
from agent.hawkbit import outbox_form
from agent.hawkbit.answers import answered
from agent.hawkbit.feedback import Feedback
from agent.hawkbit.model import Base
from agent.hawkbit.outbox import Outbox
from agent.wire import Frame

POLLS = 4  # in one turn, before the daemon is stopped and started again
SYSTEMS = ["healthy", "healthy", "sick", "dead"]
KINDS = {
    "forced": {"download": "forced", "update": "forced"},
    "soft": {"download": "attempt", "update": "attempt"},
    "downloadonly": {"download": "forced", "update": "skip"},
    "closed": {"download": "forced", "update": "skip", "window": "unavailable"},
    "open": {"download": "forced", "update": "forced", "window": "available"},
}


class Killed(BaseException):
    """The daemon is gone; the system goes on."""


class PowerCut(BaseException):
    """Everything is gone but what is on the medium. Also what a reset is."""


class Post(Hawkbit):
    """hawkBit at the other end of a durable outbox: what is said arrives with a poll, and may arrive twice."""

    def __init__(self, clock: Clock, disk: Disk, said: Callable[[Feedback], None]) -> None:
        super().__init__(clock)
        self._disk = disk
        self._heard = said
        self.asked: Callable[[], None] = lambda: None
        self.arrived: list[Feedback] = []

    def load(self) -> None:
        stored = self._disk.load("outbox")
        self.outbox = Outbox() if stored is None else outbox_form.from_json(stored)

    def _keep(self, outbox: Outbox) -> None:
        if outbox != self.outbox:
            self._disk.save("outbox", outbox_form.to_json(outbox))
            self.outbox = outbox

    def say(self, message: Feedback) -> None:
        self._heard(message)
        self._keep(self.outbox.add(message))

    def deliver(self, _talk: object = None) -> bool:
        while not self.down and (entry := self.outbox.next()) is not None:
            self.arrived.append(entry.feedback)
            super().say(entry.feedback)
            self._keep(self.outbox.settle(entry, answered(200, b"")))
        return self.outbox.next() is None

    def poll(self, *, keep: bool = False) -> Base:
        self.asked()
        self.deliver()
        return super().poll(keep=keep)

    def has_yet_to_hear(self, action_id: str) -> bool:
        waiting = [entry.feedback for entry in self.outbox.entries]
        return any((m.action_id, m.kind, m.finished) == (action_id, "deployment", "success") for m in waiting)


class Life(RuleBasedStateMachine):
    """One device, one server, and everybody who may interfere."""

    patched: pytest.MonkeyPatch

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.disk, self.environment, self.clock, self.probe = Disk(), Environment(), Clock(), Probe()
        self.server = Post(self.clock, self.disk, self.said)
        self.server.asked = self.asked
        self.disk.strike = self.environment.strike = self.strike
        self.countdown: int | None = None
        self.blow: type[BaseException] = PowerCut
        self.proven = {"A", "B"}
        self.systems: dict[str, str] = {}  # which action wrote a slot
        self.healthy: dict[str, str] = {}  # healthy, sick or dead, by action
        self.confirmed: set[str] = set()
        self.fetched: set[str] = set()
        self.lies: list[str] = []
        self.opinion: bool | None = None
        self.restored: set[str] = set()
        self.inbox = Patient(self.clock)
        self.boots = self.polled = 0
        self.patched = pytest.MonkeyPatch()
        for module in (stage, fetch):
            self.patched.setattr(module, "work", self.work)
        self.boot()

    def teardown(self) -> None:
        try:
            self.heal()
        finally:
            self.patched.undo()
            logging.disable(logging.NOTSET)

    # The surroundings.

    def strike(self) -> None:
        if self.countdown is not None:
            self.countdown -= 1
            if self.countdown < 0:
                self.countdown = None
                raise self.blow

    def asked(self) -> None:
        self.polled += 1
        if self.polled >= POLLS:
            self.inbox.stop()

    def boot(self) -> None:
        for _ in range(12):
            found = choose(self.environment.variables, ("A", "B"))
            assert found is not None, "the device is dead"
            self.environment.variables = dict(found.variables)
            if self.healthy.get(self.systems.get(found.bootname, ""), "") != "dead":
                break
        else:
            raise AssertionError("no slot boots")
        self.boots += 1
        self.clock.now = 10.0
        self.booted = found.bootname
        self.probe.sick = self.healthy.get(self.systems.get(self.booted, ""), "") == "sick"
        self.start()

    def start(self) -> None:
        """The daemon starts, as ``Daemon`` does it."""
        self.server.load()
        self.server.plan.next_poll = 0.0
        self.inbox._stop = self.inbox._cancel = False
        here = device(self.environment, self.booted, f"boot-{self.boots}")
        self.context = context(
            self.disk, self.environment, device=here, clock=self.clock, server=self.server, probe=self.probe,
            inbox=self.inbox, reset=self.reset, tell=self.shown,
        )  # fmt: skip
        self.context.config.update.soft = "ask"  # type: ignore[misc]  # a namespace in tests
        memory, trial = self.context.memory, self.environment.read().trial
        others = tuple(name for name in "AB" if name != self.booted)
        record = memory.load(trial=trial, booted=self.booted, others=others)
        event = event_after_start(record, boot_id=here.boot_id, booted=self.booted, trial=trial)
        ending = self.context.knowledge.ending()
        if event is not None:
            memory.record = replace(record, state=advance(record.state, event), attempts=0)
        elif record.state is State.IDLE and self.server.has_yet_to_hear(ending.action_id):
            held = self.context.knowledge.content(ending.target).manifest_hash
            lost = lost_success(ending, booted=self.booted, others=others, manifest_hash=held)
            memory.record = lost or memory.record
        acts = activities(self.context)
        acts[State.CONFIRMING] = self.confirming
        self.runner = Runner(
            acts, memory=memory, boot_id=here.boot_id, clock=self.clock, inbox=self.inbox,
            patience=Patience(3, 1.0), observe=lambda _: None,
            watch=lambda record: Watch(self.context, record).wait,
        )  # fmt: skip

    def work(self, _context: object, record: Record, request: dict[str, Any], *_: object) -> Frame:
        """The fetcher and the installer."""
        if self.server.down:
            raise EnvironmentFault("net.connect", "no network")
        digest = f"{int(record.action_id):016x}" * 4
        if request["op"] == "inspect":
            images = [{"class": "rootfs", "filename": "r.img", "size": 10, "type": "raw"}]
            return Frame({
                "op": "inspected", "compatible": "demo", "version": f"2.0.{record.action_id}", "manifest_hash": digest,
                "format": "verity", "restriction": "", "signer": "v", "signed_at": 5, "handler": True, "images": images,
            })  # fmt: skip
        if request["op"] == "fetch":
            self.fetched.add(record.action_id)
            return Frame({"op": "fetched"})
        assert record.target != self.booted
        self.proven.discard(record.target)
        self.systems[record.target] = "half"
        self.strike()
        self.systems[record.target] = record.action_id
        return Frame({"op": "installed", "written": 1})

    def confirming(self, record: Record) -> Any:
        step = switch.confirming(self.context, record)
        self.proven.add(record.target)
        self.confirmed.add(record.action_id)
        return step

    def reset(self, _: str) -> None:
        raise PowerCut

    def shown(self, changes: Any) -> None:
        """Somebody looks at what is offered, and has an opinion or none."""
        asked = changes.get("Offer", {}).get("consent", "")
        if self.opinion is not None and asked in (("wanted", "denied") if self.opinion else ("wanted",)):
            self.inbox.consent(Consent(changes["Offer"]["action"], approved=self.opinion))

    def turn(self) -> None:
        self.polled = 0
        try:
            self.context.memory.record = self.runner.turn(self.context.memory.record)
        except (Killed, Stopped):
            self.start()
        except PowerCut:
            self.boot()

    # What may be said.

    def said(self, message: Feedback) -> None:
        """Notes lies: what is raised here would be taken for a failure of the surroundings."""
        state = self.environment.read()
        runs = self.systems.get(self.booted) == message.action_id and message.action_id in self.confirmed
        if message.execution == "downloaded" and message.action_id not in self.fetched:
            self.lies.append(f"{message.action_id} was not downloaded")
        success = (message.kind, message.execution, message.finished) == ("deployment", "closed", "success")
        if success and not (runs and not state.trial and state.primary == self.booted and not self.probe.sick):
            self.lies.append(f"success of {message.action_id}, which does not run, or is not confirmed")
        if (message.kind, message.execution) == ("cancel", "closed") and (runs or state.trial):
            self.lies.append(f"the cancellation of {message.action_id} acknowledged, which runs")

    # What may happen.

    @precondition(lambda self: len(self.server.actions) < 12)
    @rule(
        kind=st.sampled_from(sorted(KINDS)),
        asks=st.booleans(),
        system=st.sampled_from(["healthy", "healthy", "sick", "dead"]),
    )
    def assign(self, kind: str, asks: bool, system: str) -> None:
        for action in list(self.server.actions.values()):
            if action.open and action.status != "CANCELING":
                self.server.change(action.id, status="CANCELING")
        number = str(len(self.server.actions) + 1)
        self.healthy[number] = system
        bundle = replace(artifact(), sha256=f"{int(number):016x}" * 4)
        status = "WAIT_FOR_CONFIRMATION" if asks else "RUNNING"
        self.server.assign(Action(number, **KINDS[kind], chunks=(chunk(bundle),), status=status))  # type: ignore[arg-type]  # its fields

    @rule(times=st.integers(1, 12))
    def go_on(self, times: int) -> None:
        for _ in range(times):
            self.turn()

    @rule(force=st.booleans())
    def take_back(self, force: bool) -> None:
        for action in list(self.server.actions.values()):
            if action.open:
                self.server.change(action.id, status="CANCELED" if force else "CANCELING")

    @rule(kind=st.sampled_from(["forced", "closed", "open"]))
    def change_handling(self, kind: str) -> None:
        for action in list(self.server.actions.values()):
            if action.status == "RUNNING" and (action.window is not None) == (kind != "forced"):
                self.server.change(action.id, **{"window": None, **KINDS[kind]})

    @rule()
    def revoke(self) -> None:
        for action in list(self.server.actions.values()):
            if action.status == "RUNNING":
                self.server.change(action.id, status="WAIT_FOR_CONFIRMATION")

    @rule(opinion=st.sampled_from([True, False, None]))
    def somebody_has_an_opinion(self, opinion: bool | None) -> None:
        self.opinion = opinion

    @rule(status=st.sampled_from(["RUNNING", "CANCELING"]))
    def the_server_is_restored_from_a_backup(self, status: str) -> None:
        for action in list(self.server.actions.values()):
            if action.status == "FINISHED":
                self.restored.add(action.id)
                self.server.change(action.id, status=status)

    @rule()
    def somebody_cancels(self) -> None:
        self.inbox.cancel()

    @rule(down=st.booleans())
    def network(self, down: bool) -> None:
        self.server.down = down

    @rule(after=st.integers(0, 6), blow=st.sampled_from([Killed, PowerCut]))
    def plan_a_blow(self, after: int, blow: type[BaseException]) -> None:
        self.countdown, self.blow = after, blow

    # What holds whatever happens.

    @invariant()
    def the_server_believes_only_what_is_true(self) -> None:
        for action in self.server.actions.values():
            if action.status == "FINISHED":
                assert action.id in self.confirmed
            if action.status == "DOWNLOADED":
                assert action.id in self.fetched
        assert self.lies == []
        ends: dict[str, set[str]] = {}
        for message in self.server.arrived:
            if message.kind == "deployment" and message.terminal and message.action_id not in self.restored:
                ends.setdefault(message.action_id, set()).add(message.finished)
        assert all(len(words) == 1 for words in ends.values()), "two ends of one action"

    def heal(self) -> None:
        """When nobody interferes any more, and everything is allowed, every action ends, and the device rests."""
        self.countdown, self.server.down, self.opinion = None, False, True
        for _ in range(300):
            for action in list(self.server.actions.values()):
                if action.status == "RUNNING" and action.window == "unavailable":
                    self.server.change(action.id, **KINDS["open"])
            self.turn()
            waits = any(action.open for action in self.server.actions.values())
            if not waits and self.context.memory.record.state is State.IDLE:
                break
        assert not [action for action in self.server.actions.values() if action.open], self.context.memory.record
        assert self.context.memory.record.state is State.IDLE
        assert self.environment.read().trial == ""
        self.the_server_believes_only_what_is_true()


TestLife = pytest.mark.req("S07", "S08", "S02")(Life.TestCase)
TestLife.settings = settings(
    max_examples=60,
    derandomize=True,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
