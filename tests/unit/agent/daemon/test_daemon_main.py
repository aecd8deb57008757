"""How the daemon starts and ends, above all on a new system that turns out not to work."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from support.pretend import Environment, device

from agent.daemon import main
from agent.errors import ConfigError


class Config:
    """As much of a configuration as is looked at when everything else fails."""

    system = type("System", (), {"reboot_command": ("true",), "bus": "none"})


def ends(
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[], int],
    *,
    booted: str = "B",
    build: Callable[..., None] = lambda *_: None,
) -> tuple[int, int]:
    """Runs a daemon whose work ends like this, with B on trial; returns the exit status and the number of restarts."""
    environment, resets = Environment(), []
    environment.activate("B", fallback="A", trial="B,7,abab")
    daemon = type("Daemon", (), {"__init__": build, "run": lambda _: run()})
    monkeypatch.setattr(main, "load", lambda _: Config)
    monkeypatch.setattr(main, "Daemon", daemon)
    monkeypatch.setattr(main, "look_at", lambda _: device(environment, booted))
    monkeypatch.setattr(main, "Restart", lambda *_: lambda: resets.append("asked for"))
    return main.run(), len(resets)


def broken() -> int:
    raise ImportError("No module named 'pydbus'")


@pytest.mark.req("S07")
@pytest.mark.parametrize("run", [broken, lambda: 1])
def test_a_new_system_whose_agent_breaks_gives_the_device_back(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[], int]
) -> None:
    assert ends(monkeypatch, run) == (1, 1)


def test_an_agent_that_is_stopped_on_trial_restarts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ends(monkeypatch, lambda: 0) == (0, 0)


def test_an_agent_that_breaks_on_a_proven_system_restarts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ends(monkeypatch, broken, booted="A") == (1, 0)


def test_an_agent_that_finds_another_one_leaves_the_verdict_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise ConfigError("state.locked", "another ota-agent is using the state directory", retryable=True)

    assert ends(monkeypatch, lambda: 0, build=build) == (1, 0)


def test_an_agent_that_cannot_start_gives_the_device_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise ConfigError("state.directory", "the state directory cannot be used")

    assert ends(monkeypatch, lambda: 0, build=build) == (1, 1)


@pytest.mark.req("S05")
def test_where_each_thread_was_is_told_when_the_watchdog_ends_an_agent_whose_main_loop_hangs() -> None:
    """systemd sends SIGABRT (systemd.service(5), WatchdogSec=)."""
    hangs = "import os; from agent.daemon import main; main.load = lambda _: os.abort(); main.run()"
    done = subprocess.run([sys.executable, "-c", hangs], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGABRT
    assert " in run\n" in done.stderr
