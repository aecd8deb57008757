"""Whoever shows the boot environment hears of each change that the agent makes."""

from __future__ import annotations

import pytest
from support.pretend import Environment

from agent.audit.port import Unrecorded
from agent.daemon.audited import AuditedEnv
from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootEnv


def watched(environment: Environment) -> tuple[BootEnv, list[str]]:
    seen: list[str] = []
    env = AuditedEnv(environment, Unrecorded())
    env.told = lambda: seen.append(environment.read().primary)
    return env, seen


def test_each_change_is_told_after_it_was_made() -> None:
    env, seen = watched(Environment("AB"))
    env.activate("B", fallback="A", trial="B,x")
    env.confirm("B")
    env.revert("B", "A")
    env.mark_good("A")
    env.heal("A", ["B"])
    assert seen == ["B", "B", "A", "A", "A"]


def test_reading_changes_nothing() -> None:
    environment = Environment("AB")
    env, seen = watched(environment)
    assert (env.read(), env.current(), env.capabilities) == (environment.read(), "", environment.capabilities)
    assert seen == []


def test_a_change_that_fails_may_have_been_made_in_part_and_is_told_too() -> None:
    environment = Environment("AB")
    environment.broken = BootEnvError("bootenv.io", "no")
    env, seen = watched(environment)
    with pytest.raises(BootEnvError):
        env.mark_good("A")
    assert seen == ["A"]
