"""The message bus is restarted in the middle of an update: the update goes on, and afterwards the agent is on the new bus."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.shelf import Shelf, offer, trust

from agent.demo.factory import Timing
from agent.demo.world import World


@pytest.mark.timeout(90)
@pytest.mark.req("S01", "C13")
def test_a_bus_that_is_restarted_during_an_installation_does_not_hurt_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    with trust(World(tmp_path / "world", size=8, timing=Timing(deadline=20), bus=True)) as world:
        world.wait_settled()
        bundle = shelf.bundle("2.0.0")
        world.server.faults.throttle(bundle.stat().st_size // 6)
        action_id = offer(world, bundle)
        world.wait_for(lambda: world.board.written()[0] and world.state == "staging", 30, "the bundle is being written")
        daemon = world.board.daemon_pid
        with restarted_bus(world):
            finish(world, action_id)
            assert world.board.daemon_pid != daemon


def finish(world: World, action_id: str) -> None:
    """From the middle of the writing to the end."""
    assert world.state == "staging"
    world.server.faults.clear()
    assert world.wait_ended(action_id, 40) == "FINISHED", [entry.messages for entry in world.history(action_id)]
    world.wait_for(lambda: world.properties().get("CurrentVersion") == "2.0.0", 20, "the new system is on the new bus")
    assert world.running.version == "2.0.0"


@contextmanager
def restarted_bus(world: World) -> Iterator[None]:
    """The same bus daemon at the same address, once more, as after a crash of it."""
    assert world._bus is not None
    first = world._bus._process
    first.kill()
    first.wait()
    Path(world.bus.removeprefix("unix:path=")).unlink()
    with subprocess.Popen(first.args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as second:
        try:
            assert second.stdout is not None
            assert second.stdout.readline().startswith(world.bus)
            yield
        finally:
            second.kill()
