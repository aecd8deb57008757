"""One fetcher for what follows at once: poll, deployment, inspection, installation; and none that is told something old."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from agent.daemon.children import Child, spawn
from agent.daemon.inbox import Inbox
from agent.daemon.network import Network, Session

SESSION = Session("https://127.0.0.1:1", ("TargetToken", "old"), "", "", 0.2, 0.2)


class Supply:
    """A network whose fetchers are real, and what they are told."""

    def __init__(self) -> None:
        self.session = SESSION
        self.children: list[Child] = []
        self.reader: socket.socket | None = None
        self.readable = True
        self.network = Network(self._spawn, self._read, Inbox().await_one)

    def _read(self) -> Session:
        if not self.readable:
            raise OSError
        return self.session

    def _spawn(self, kind: str) -> Child:
        self.children.append(spawn(kind))
        return self.children[-1]

    def keep(self, *, serving: bool = False) -> Child:
        """The fetcher of an inspection that has just ended, at rest or not."""
        with self.network.conversation(keep=True) as talk:
            near, far = socket.socketpair()
            with far:
                talk.serve("https://127.0.0.1:1/b", 1, far.fileno())
            if serving:
                self.reader = near
            else:
                near.close()
                assert talk.spoken(20).op == "served"
        return talk.child

    def next_one(self) -> Child:
        with self.network.conversation() as talk:
            return talk.child


@pytest.fixture
def supply() -> Iterator[Supply]:
    found = Supply()
    yield found
    if found.reader is not None:
        found.reader.close()
    for child in found.children:
        child.close()


def test_the_one_that_served_the_inspection_serves_the_installation(supply: Supply) -> None:
    first = supply.keep()
    assert supply.next_one() is first
    assert not first.alive()
    assert supply.next_one() is not first


@pytest.mark.parametrize(
    "changed", [replace(SESSION, auth=("TargetToken", "new")), replace(SESSION, max_rate=1000)], ids=["token", "rate"]
)
def test_one_that_was_told_something_old_is_replaced(supply: Supply, changed: Session) -> None:
    first = supply.keep()
    supply.session = changed
    assert supply.next_one() is not first
    assert not first.alive()


def test_of_two_only_the_later_one_is_kept(supply: Supply) -> None:
    with supply.network.conversation(keep=True) as outer, supply.network.conversation(keep=True) as inner:
        pass
    assert not inner.child.alive()
    assert supply.next_one() is outer.child


def test_one_that_is_not_at_rest_is_replaced(supply: Supply) -> None:
    first = supply.keep(serving=True)
    assert supply.next_one() is not first
    assert not first.alive()


def test_one_that_died_meanwhile_is_replaced(supply: Supply) -> None:
    first = supply.keep()
    os.kill(first.pid, signal.SIGKILL)
    assert first.death().details == "killed by SIGKILL"
    assert supply.next_one() is not first


def test_secrets_that_cannot_be_read_end_it(supply: Supply) -> None:
    first = supply.keep()

    supply.readable = False
    with pytest.raises(OSError), supply.network.conversation():
        pass
    assert not first.alive()


def test_after_an_error_it_is_ended(supply: Supply) -> None:
    with suppress(RuntimeError), supply.network.conversation(keep=True) as talk:
        raise RuntimeError
    assert not talk.child.alive()


def test_whoever_waits_sends_it_away(supply: Supply) -> None:
    first = supply.keep()
    supply.network.dismiss()
    assert not first.alive()


def test_what_is_kept_holds_no_secret(supply: Supply) -> None:
    with supply.network.conversation() as talk:
        assert SESSION not in vars(talk).values()
        assert "old" not in repr(vars(talk))
