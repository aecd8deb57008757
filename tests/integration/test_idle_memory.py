"""What an idle daemon carries: it has polled, somebody reads its state, and nothing is under way."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from support.stage import stage

from agent.later import PUT_OFF

OPEN = Path(__file__).parents[1] / "support" / "open_daemon.py"
# With inspect; with gi._option; the table of settings; an update.
HEAVY = {"dis", "gettext", "optparse", "queue", "tomllib", "agent.config_table", "agent.daemon.activities.life"}
if sys.version_info < (3, 14):  # from then on dataclasses reads annotations with annotationlib, which cannot do without
    HEAVY.add("ast")


@pytest.mark.req("C15")
def test_an_idle_daemon_whose_state_is_read_has_loaded_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    out = tmp_path / "loaded"
    with stage(tmp_path, bus=True) as world:
        world.wait_settled()
        world.board.power_cut()
        world.board.program = [sys.executable, "-I", str(OPEN), str(out), "daemon"]
        asked = len(world.server.requests("/controller/v1/"))
        world.board.power_on()
        world.wait_for(lambda: len(world.server.requests("/controller/v1/")) > asked, 30, "a poll")
        world.wait_for(lambda: world.properties()["State"] == "idle" and world.properties()["LastCheck"], 30, "its end")
        os.kill(world.board.daemon_pid, signal.SIGUSR1)
        world.wait_for(out.exists, 30, "the list")
    loaded = set(out.read_text().split())
    assert "agent.bus.serve" in loaded
    assert sorted(loaded & (HEAVY | set(PUT_OFF))) == []
