"""What people say in the last moment, while the device is talking to the server: once taken, it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.offers import BASE, Action, Hawkbit
from support.pretend import Clock, Disk, Environment, Patient, context, desk

from agent.daemon.activities.offer import as_offered
from agent.daemon.activities.permit import waiting
from agent.daemon.activities.stage import staged
from agent.daemon.context import Context
from agent.daemon.inbox import Cancelled
from agent.daemon.machine import Event, State
from agent.daemon.record import Record
from agent.errors import PolicyError

OURS = Record(
    state=State.STAGED, origin="server", action_id="7", download="forced", update="forced", version="2.0.0",
    manifest_hash="ab" * 32, target="B", fallback="A",
)  # fmt: skip


class Stage:
    """Action 7, whose bundle is written, and somebody who says something during each poll."""

    def __init__(self, say: Callable[[Stage], object]) -> None:
        self.clock = Clock()
        self.hawkbit = Hawkbit(self.clock)
        self.hawkbit.assign(Action("7"))
        self.inbox = Patient(self.clock)
        disk = Disk()
        self.here: Context = context(
            disk, Environment(), server=self.hawkbit, clock=self.clock, inbox=self.inbox,
            desk=desk(disk, self.clock, self.inbox),
        )  # fmt: skip
        self.here.desk.offering("7", "", {"action": "7"})
        answer = self.hawkbit.on_poll
        said: list[object] = []

        def poll() -> object:
            if not said:
                said.append(say(self))
            return answer()

        self.hawkbit.on_poll = poll

    def record(self, **fields: object) -> Record:
        record = as_offered(self.here, OURS, self.hawkbit.deployment(f"{BASE}/deploymentBase/7"))
        record = replace(record, **fields)  # type: ignore[arg-type]  # its fields
        self.here.desk.entered(record)
        return record


def deny(stage: Stage) -> None:
    stage.here.desk.deny("7", "not now")


def test_who_denies_it_while_the_server_is_asked_for_the_last_time_is_not_restarted() -> None:
    stage = Stage(deny)
    with pytest.raises(PolicyError) as caught:
        staged(stage.here, stage.record())
    assert caught.value.code == "update.denied"


def test_who_cancels_it_then_is_not_restarted_either() -> None:
    stage = Stage(lambda stage: stage.inbox.cancel())
    with pytest.raises(Cancelled):
        staged(stage.here, stage.record())


def test_who_postpones_it_then_has_postponed_it() -> None:
    stage = Stage(lambda stage: stage.here.desk.postpone(7200))
    began = stage.clock.now
    assert staged(stage.here, stage.record()).event is Event.DONE
    assert stage.clock.now - began >= 7200


def test_who_denies_it_while_the_state_of_the_window_is_asked_for_is_heard_before_it_is_written() -> None:
    stage = Stage(deny)
    stage.hawkbit.change("7", window="available")
    with pytest.raises(PolicyError) as caught:
        waiting(stage.here, stage.record(state=State.WAITING, window="available"))
    assert caught.value.code == "update.denied"
