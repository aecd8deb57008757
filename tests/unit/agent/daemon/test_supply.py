"""One fetcher for an inspection and the installation that follows at once, and none that is told something old."""

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
from agent.daemon.installers import Installers
from agent.daemon.network import Network, Session

SESSION = Session("https://127.0.0.1:1", ("TargetToken", "old"), "", "", 0.2, 0.2)


class Supply:
    """A network whose fetchers are real, and what they are told."""

    def __init__(self) -> None:
        self.session = SESSION
        self.children: list[Child] = []
        self.reader: socket.socket | None = None
        self.network = Network(self._spawn, lambda: self.session, Inbox().await_one)
        self.installers = Installers(spawn)

    def _spawn(self, kind: str) -> Child:
        self.children.append(spawn(kind))
        return self.children[-1]

    def keep(self, *, serving: bool = False) -> Child:
        """The fetcher of an inspection that has just ended, at rest or not."""
        with self.installers.supplied(self.network, keep=True) as talk:
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
        with self.installers.supplied(self.network) as talk:
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

    def unreadable() -> Session:
        raise OSError

    broken = Network(spawn, unreadable, Inbox().await_one)
    with pytest.raises(OSError), supply.installers.supplied(broken):
        pass
    assert not first.alive()


def test_after_an_error_it_is_ended(supply: Supply) -> None:
    with suppress(RuntimeError), supply.installers.supplied(supply.network, keep=True) as talk:
        raise RuntimeError
    assert not talk.child.alive()


def test_whoever_waits_sends_it_away(supply: Supply) -> None:
    first = supply.keep()
    supply.installers.dismiss()
    assert not first.alive()


def test_what_is_kept_holds_no_secret(supply: Supply) -> None:
    with supply.installers.supplied(supply.network) as talk:
        assert SESSION not in vars(talk).values()
        assert "old" not in repr(vars(talk))
