"""The worker owes a sign of life, and only progress is one."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace

import pytest

from agent.daemon.heartbeat import USUAL, Feeder, Heartbeat, usual_silence
from agent.daemon.inbox import Inbox
from agent.daemon.presence import Presence
from agent.health.result import CheckResult, green
from agent.health.suite import Suite


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(clock: Clock) -> Inbox:
    return Inbox(Heartbeat(10, clock))


def test_a_worker_that_says_nothing_is_stuck(inbox: Inbox, clock: Clock) -> None:
    clock.now += 10
    assert inbox.heartbeat.alive()
    clock.now += 1
    assert not inbox.heartbeat.alive()


def test_a_wait_is_a_sign_and_begins_the_time_anew(inbox: Inbox, clock: Clock) -> None:
    clock.now += 11
    inbox.wait(0)
    clock.now += 10
    assert inbox.heartbeat.alive()
    clock.now += 1
    assert not inbox.heartbeat.alive()


def test_while_it_waits_on_purpose_it_is_not_stuck(clock: Clock) -> None:
    beat = Heartbeat(10, clock)
    beat.rest(600)
    clock.now += 610
    assert beat.alive()
    clock.now += 1
    assert not beat.alive()
    beat.rest(None)
    clock.now += 1e9
    assert beat.alive()


def test_waiting_for_a_silent_child_is_no_sign(inbox: Inbox, clock: Clock) -> None:
    child, other = socket.socketpair()
    with child, other:
        clock.now += 11
        inbox.wait(0, [child])
        assert not inbox.heartbeat.alive()
        other.send(b"x")
        inbox.wait(0, [child])
        assert inbox.heartbeat.alive()


def test_listening_to_what_may_be_silent_for_ever_is_rest(inbox: Inbox, clock: Clock) -> None:
    monitor, other = socket.socketpair()
    with monitor, other:
        clock.now += 11
        assert not inbox.listen(0, monitor)
        assert inbox.heartbeat.alive()
        waiting = threading.Thread(target=inbox.listen, args=(None, monitor))
        clock.now += 1e9
        assert not inbox.heartbeat.alive()
        waiting.start()
        deadline = time.monotonic() + 10
        while not inbox.heartbeat.alive() and time.monotonic() < deadline:
            waiting.join(0.001)
        assert inbox.heartbeat.alive()
        other.send(b"x")
        waiting.join(10)
        assert not waiting.is_alive()
        assert inbox.listen(0, monitor)


def test_work_that_may_be_silent_for_longer_says_so_and_then_the_usual_counts_again(inbox: Inbox, clock: Clock) -> None:
    with inbox.patient(100):
        clock.now += 100
        assert inbox.heartbeat.alive()
        clock.now += 1
        assert not inbox.heartbeat.alive()
    clock.now += 10
    assert inbox.heartbeat.alive()
    clock.now += 1
    assert not inbox.heartbeat.alive()


def test_nobody_says_that_less_is_enough(inbox: Inbox, clock: Clock) -> None:
    with inbox.patient(1):
        clock.now += 10
        assert inbox.heartbeat.alive()


def test_a_stuck_worker_is_not_fed_for_and_the_journal_says_where_it_is(
    inbox: Inbox, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    feed = Feeder(inbox.heartbeat, told.append)
    feed()
    clock.now += 11
    feed()
    feed()
    assert told == ["WATCHDOG=1"]
    assert capfd.readouterr().err.count("test_heartbeat.py") >= 1
    inbox.wait(0)
    feed()
    assert told == ["WATCHDOG=1"] * 2


def test_a_slow_server_and_slow_checks_are_not_taken_for_a_stuck_worker() -> None:
    def silence(read: float, deadline: float) -> float:
        server = SimpleNamespace(connect_timeout=20.0, read_timeout=read)
        return usual_silence(
            SimpleNamespace(
                server=server,
                health=SimpleNamespace(
                    deadline=deadline, check_timeout=10.0, commands=(("a",),), urls=(), tcp=(), dbus_names=(), mounts=()
                ),
            )  # type: ignore[arg-type]
        )

    assert silence(60, 10) == USUAL
    assert silence(3600, 10) > 2 * 3600 + 20 + 30
    assert silence(60, 3000) > 3000 + 60


def test_the_main_thread_looks_so_that_nobody_does_when_it_hangs(tmp_path: object) -> None:
    device = SimpleNamespace()
    record = SimpleNamespace(state=None)
    presence = Presence(Inbox(), device, SimpleNamespace(), SimpleNamespace(), "none", has_server=False, record=record)  # type: ignore[arg-type]
    seen: list[threading.Thread] = []

    def beat() -> None:
        seen.append(threading.current_thread())
        if len(seen) == 2:
            presence.quit()

    presence.serve(0.01, beat)
    assert seen == [threading.main_thread()] * 2


def test_a_round_of_health_checks_is_a_sign_with_each_look(inbox: Inbox, clock: Clock) -> None:
    def slow() -> CheckResult:
        clock.now += 9
        return green("slow")

    checks = [SimpleNamespace(name="slow", run=slow) for _ in range(5)]
    alive: list[bool] = []
    Suite(checks, stopping=inbox.stopping).run_once(lambda _: alive.append(inbox.heartbeat.alive()))
    assert alive == [True] * 5
