"""An agent that cannot start: on an ordinary boot it says why, on a trial it gives the device back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.demo.factory import Timing
from agent.demo.world import World

ENTRY = Path(__file__).parents[2] / "agent" / "__main__.py"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A device without power whose state directory is unusable: a file stands in its place."""
    with World(tmp_path / "world", size=8, timing=Timing()) as world:
        world.board.power_cut()
        state = world.directory / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.write_text("in the way")
        yield world


def start(world: World) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(ENTRY), "daemon", "--config", str(world.board.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_start_that_cannot_work_ends_with_its_reason(world: World) -> None:
    done = start(world)
    assert done.returncode == 2
    assert "state.directory" in done.stderr
    assert not world.board.reset_request.exists()


@pytest.mark.req("S07")
@pytest.mark.parametrize("damage", ["[update]\nno-such-setting = 1\n", "[keyring]\npath = 7\n"])
def test_a_new_system_with_an_invalid_configuration_gives_the_device_back(world: World, damage: str) -> None:
    variables = {**world.board.flash.load().variables, "OTA_TRIAL": f"{world.running.bootname},7,{'ab' * 8}"}
    world.board.flash.save(variables)
    config = world.board.config
    if damage.startswith("[keyring]"):
        config.write_text(config.read_text().replace("[keyring]\npath = ", "[keyring]\npath = 7 # "))
    else:
        config.write_text(config.read_text().replace("[update]\n", damage))
    done = start(world)
    assert "config.invalid" in done.stderr
    assert done.returncode == 1
    assert world.board.reset_request.exists()


@pytest.mark.req("S07")
def test_a_new_system_whose_agent_cannot_start_gives_the_device_back(world: World) -> None:
    variables = {**world.board.flash.load().variables, "OTA_TRIAL": f"{world.running.bootname},7,{'ab' * 8}"}
    world.board.flash.save(variables)
    assert start(world).returncode == 1
    assert world.board.reset_request.exists()
