"""One installer for requests that follow each other at once, and none while anybody waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from agent.daemon.children import Child, spawn
from agent.daemon.installers import Installers


class Started:
    """Starts real installers, and knows them."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def __call__(self, kind: str) -> Child:
        self.children.append(spawn(kind))
        return self.children[-1]


@pytest.fixture
def started() -> Iterator[Started]:
    found = Started()
    yield found
    for child in found.children:
        child.close()


def test_the_one_that_inspected_goes_on_to_install(started: Started) -> None:
    installers = Installers(started)
    with installers.lent(keep=True) as first:
        pass
    with installers.lent() as second:
        assert second is first
    assert not first.alive()
    with installers.lent() as third:
        assert third is not first


def test_nobody_is_kept_unless_a_request_follows(started: Started) -> None:
    with Installers(started).lent() as child:
        pass
    assert not child.alive()


def test_after_an_error_it_is_ended(started: Started) -> None:
    installers = Installers(started)
    with suppress(RuntimeError), installers.lent(keep=True) as child:
        raise RuntimeError
    assert not child.alive()
    with installers.lent() as next_one:
        assert next_one is not child


def test_one_that_died_meanwhile_is_replaced(started: Started) -> None:
    installers = Installers(started)
    with installers.lent(keep=True) as first:
        pass
    first.close()
    with installers.lent() as second:
        assert second.alive()
        assert second is not first


def test_whoever_waits_sends_it_away(started: Started) -> None:
    installers = Installers(started)
    with installers.lent(keep=True) as child:
        pass
    installers.dismiss()
    assert not child.alive()
    installers.dismiss()
