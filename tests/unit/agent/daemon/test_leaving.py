"""An idle daemon leaves when nothing happened for long enough, is started again in time, and remembers what it must."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.bus.calls import BusCallError
from agent.daemon.leaving import TIMER, Leaving
from agent.daemon.poll_plan import PollPlan

SETTINGS: Any = SimpleNamespace(
    poll_min=10, poll_max=86400, poll_first_delay=0, poll_splay=False, controller_id="board"
)  # fmt: skip


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def boottime(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_800_000_000 + self.now

    def synchronised(self) -> bool:
        return True


class Systemd:
    """What systemd is asked for; tests/systemd asks the real one."""

    def __init__(self) -> None:
        self.timer: dict[str, Any] = {}
        self.refuses = False

    def call(self, _service: str, _path: str, _interface: str, method: str, _signature: str, *values: Any) -> tuple[()]:
        if self.refuses:
            raise BusCallError("org.example.No", "no")
        if method == "StopUnit":
            if not self.timer:
                raise BusCallError("org.freedesktop.systemd1.NoSuchUnit", "there is none")
            self.timer = {}
        else:
            assert (method, values[0]) == ("StartTransientUnit", TIMER)
            self.timer = {name: value.unpack() for name, value in values[2]}
        return ()


class Bench:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock, self.systemd = Clock(), Systemd()
        self.called, self.may = 0.0, True
        self.told: dict[str, object] = {"ServerState": "ok", "LastCheck": 7, "State": "idle", "Offer": {}}

    def process(self, seconds: float = 60, plan: PollPlan | None = None) -> Leaving:
        return Leaving(
            seconds, bus=self.systemd, clock=self.clock, directory=self.directory / "run", boot_id="boot-1",  # type: ignore[arg-type]
            plan=plan, leave=lambda: self.may, last_call=lambda: self.called, told=lambda: self.told,
        )  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_leaves_when_nothing_happened_for_so_long_and_a_timer_brings_it_back(bench: Bench) -> None:
    leaving = bench.process()
    assert leaving.rest(600) == 60
    bench.clock.now += 59
    assert not leaving.attempt(541, healthy=True)
    bench.clock.now += 1
    assert leaving.attempt(540, healthy=True)
    assert bench.systemd.timer["TimersMonotonic"] == [("OnActiveSec", 540_000_000)]
    assert bench.systemd.timer["TimersCalendar"] == [("OnCalendar", f"@{1_800_000_000 + 1060 + 540}")]


def test_without_a_server_only_a_call_brings_it_back(bench: Bench) -> None:
    leaving = bench.process()
    bench.clock.now += 60
    assert leaving.attempt(None, healthy=True)
    assert bench.systemd.timer == {}


def something_done(_: Bench, leaving: Leaving) -> None:
    leaving.busy()


def somebody_called(bench: Bench, _: Leaving) -> None:
    bench.called = bench.clock.now


@pytest.mark.parametrize("happens", [something_done, somebody_called])
def test_what_happens_begins_the_time_anew(bench: Bench, happens: Callable[[Bench, Leaving], None]) -> None:
    leaving = bench.process()
    bench.clock.now += 50
    happens(bench, leaving)
    bench.clock.now += 10
    assert not leaving.attempt(None, healthy=True)
    assert leaving.rest(None) == 50
    bench.clock.now += 50
    assert leaving.attempt(None, healthy=True)


def test_it_does_not_leave_for_less_time_than_it_waits_for(bench: Bench) -> None:
    leaving = bench.process()
    bench.clock.now += 600
    assert leaving.rest(60) == 60
    assert not leaving.attempt(60, healthy=True)


def test_it_does_not_leave_while_something_is_offered(bench: Bench) -> None:
    leaving = bench.process()
    bench.told["Offer"] = {"action": "7"}
    bench.clock.now += 60
    assert not leaving.attempt(None, healthy=True)
    assert leaving.rest(None) == 60, "another try comes later, not at once"


def test_it_stays_when_nothing_would_bring_it_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    leaving = bench.process()
    bench.systemd.refuses = True
    bench.clock.now += 60
    assert not leaving.attempt(540, healthy=True)
    assert "stays" in caplog.text
    assert leaving.rest(540) == 60, "another try comes later, not at once"


def test_it_stays_when_somebody_has_just_asked_for_something(bench: Bench) -> None:
    leaving = bench.process()
    bench.may = False
    bench.clock.now += 60
    assert not leaving.attempt(None, healthy=True)


def test_the_next_process_goes_on_where_this_one_was(bench: Bench) -> None:
    plan = PollPlan(SETTINGS, bench.clock, lambda: 0.5)
    plan.worked(600)
    leaving = bench.process(plan=plan)
    bench.clock.now += 60
    assert leaving.attempt(plan.next_poll - bench.clock.now, healthy=True)
    bench.clock.now += 100
    later = PollPlan(SETTINGS, bench.clock, lambda: 0.9)
    again = bench.process(plan=later)
    assert again.recall() == {"ServerState": "ok", "LastCheck": 7}
    assert again.healthy
    assert (later.next_poll, later.remember()) == (plan.next_poll, plan.remember())
    assert bench.systemd.timer == {}, "it is set anew when it leaves again"


def test_a_process_of_another_boot_knows_nothing(bench: Bench) -> None:
    leaving = bench.process()
    bench.clock.now += 60
    assert leaving.attempt(None, healthy=True)
    path = bench.directory / "run" / "idle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot_id": "boot-0"}))
    again = bench.process()
    assert again.recall() == {}
    assert not again.healthy
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"boot_id": "boot-1", "plan": {"next": "x"}, "told": 3}'])
def test_what_cannot_be_read_is_not_believed(bench: Bench, text: str) -> None:
    (bench.directory / "run").mkdir()
    (bench.directory / "run" / "idle.json").write_text(text)
    plan = PollPlan(SETTINGS, bench.clock, lambda: 0.5)
    before = plan.remember()
    again = bench.process(plan=plan)
    assert again.recall() == {}
    assert (again.healthy, plan.remember()) == (False, before)
