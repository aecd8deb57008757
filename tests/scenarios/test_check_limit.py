"""Checks on demand on a whole device: asked at once, and not again too soon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.stage import stage

import agent
from agent.demo.world import World

ENTRY = Path(agent.__file__).with_name("__main__.py")


def check(world: World) -> tuple[int, str]:
    """Runs ``ota-agent check``; returns the exit status and what it complains about."""
    process = subprocess.Popen(
        [sys.executable, "-I", str(ENTRY), "check"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OTA_AGENT_BUS": world.bus}, cwd="/",
    )  # fmt: skip
    world.wait_for(lambda: process.poll() is not None, 60, "the command ends")
    return process.returncode, process.communicate()[1]


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_second_check_tells_when_it_is_possible_and_asks_nobody(tmp_path: Path) -> None:
    quiet = {"server.poll-min": 600, "server.check-interval": 600}
    with stage(tmp_path, bus=True, overrides=quiet) as world:
        world.wait_settled()
        world.wait_for(lambda: world.properties().get("ServerState") == "ok", 20, "the first poll")
        before = len(world.server.seen)
        assert check(world) == (0, "")
        world.wait_for(lambda: len(world.server.seen) > before, 20, "the server is asked at once")
        status, words = check(world)
        assert status == 3
        assert "[check.too-soon]" in words
        assert "possible again in" in words
