"""Requests from other threads: none is lost, and a stop ends every wait."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from agent.daemon.inbox import Inbox, Stopped
from agent.daemon.terms import Terms


def test_a_request_is_taken_once() -> None:
    inbox = Inbox()
    inbox.check()
    inbox.cancel()
    inbox.install("/tmp/a")
    assert (inbox.take_check(), inbox.take_cancel(), inbox.take_install()) == (True, True, ("/tmp/a", Terms()))
    assert (inbox.take_check(), inbox.take_cancel(), inbox.take_install()) == (False, False, None)


def test_a_bundle_keeps_the_terms_on_which_it_was_asked_for() -> None:
    inbox = Inbox()
    inbox.install("/tmp/a", Terms(manifest_hash="ab" * 32))
    asked = inbox.take_install()
    inbox.install("/tmp/b")
    assert asked == ("/tmp/a", Terms(manifest_hash="ab" * 32))
    assert inbox.take_install() == ("/tmp/b", Terms())


def test_a_bell_ends_a_wait_but_not_a_pause() -> None:
    inbox = Inbox()
    inbox.check()
    began = time.monotonic()
    inbox.wait(30)
    assert time.monotonic() - began < 10
    inbox.check()
    began = time.monotonic()
    inbox.pause(0.1)
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("wait", ["wait", "pause", "await_one"])
def test_a_stop_ends_every_wait_from_another_thread(wait: str) -> None:
    inbox = Inbox()
    near, far = socket.socketpair()
    timer = threading.Timer(0.05, inbox.stop)
    timer.start()
    began = time.monotonic()
    with near, far, pytest.raises(Stopped):
        {
            "wait": lambda: inbox.wait(None),
            "pause": lambda: inbox.pause(30),
            "await_one": lambda: inbox.await_one(near, 30),
        }[wait]()
    assert time.monotonic() - began < 5
    timer.join()
    with pytest.raises(Stopped):
        inbox.wait(0)


def test_awaiting_an_answer_is_not_ended_by_other_requests() -> None:
    inbox = Inbox()
    near, far = socket.socketpair()
    with near, far:
        inbox.check()
        timer = threading.Timer(0.1, far.send, (b"x",))
        timer.start()
        inbox.await_one(near, 30)
        assert near.recv(1, socket.MSG_DONTWAIT) == b"x"
        timer.join()
        began = time.monotonic()
        inbox.await_one(near, 0.1)
        assert 0.1 <= time.monotonic() - began < 5


def test_a_request_that_arrives_while_another_is_taken_is_not_lost() -> None:
    inbox, taken = Inbox(), 0

    def ask() -> None:
        for _ in range(2000):
            inbox.install("/tmp/a")
            while inbox.install_asked():
                time.sleep(0)

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        taken += bool(inbox.take_install())
    assert taken + bool(inbox.take_install()) == 2000


def test_a_device_that_was_suspended_looks_at_its_clock_within_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    class Poll:
        def register(self, *_: int) -> None:
            pass

        def poll(self, milliseconds: float | None) -> list[tuple[int, int]]:
            waits.append(milliseconds)
            return []

    monkeypatch.setattr("agent.daemon.inbox.select.poll", Poll)
    inbox = Inbox()
    for seconds in (86400.0, 5.0, -1.0, None):
        inbox.wait(seconds)
    assert waits == [600_000, 5000, 0, None]


def test_news_about_the_policy_wakes_what_waits_and_is_heard_once() -> None:
    inbox = Inbox()
    inbox.look_again()
    assert inbox.spoken_to()
    assert not inbox.asked(), "a device at rest has nothing to do about it"
    inbox.wait(60)
    assert inbox.take_look()
    assert not inbox.take_look()
    assert not inbox.spoken_to()
