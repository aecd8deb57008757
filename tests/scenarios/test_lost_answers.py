"""The server has taken a word and its answer is lost; at that moment the daemon is killed. Real processes, real signals.

``tests/fleet`` loses every answer of an update in turn; here it is seen that a process behaves like the device there.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from agent.demo.factory import Timing
from agent.demo.server_faults import Fault
from agent.demo.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.req("S02", "S07", "S08")]
ENDS = ("FINISHED", "ERROR", "CANCELED")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world", size=8, timing=Timing())


def lose(world: World, path: str, *, times: int = 1, kill: bool) -> None:
    """Lets the next answers be lost, and kills the daemon as soon as the last one is."""
    faults, before = world.server.faults, world.server.faults.left
    faults.add(Fault(path=path, times=times, lose_answer=True))
    world.wait_for(lambda: faults.left == before, 60, "the answers are lost")
    if kill and (pid := world.board.daemon_pid):
        os.kill(pid, signal.SIGKILL)


def ended(world: World, action: str) -> tuple[str, int]:
    """The status of an action that has ended, and how many ends the server has noted."""
    status = world.wait_ended(action, 120)
    world.wait_idle(60)
    world.wait_for(lambda: not world.board.document("outbox").get("entries"), 60, "everything was said")
    return status, sum(entry.type in ENDS for entry in world.history(action))


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "alive"])
@pytest.mark.parametrize("sick", ["", "told to fail"], ids=["good", "sick"])
def test_the_last_word_is_said_again_and_counts_once(world: World, sick: str, kill: bool) -> None:
    with world:
        action = world.deploy(world.publish("1.1.0", sick=sick))
        world.wait_for(lambda: world.state in ("trial", "reverting"), 90, "the trial")
        lose(world, r"/deploymentBase/[^/]+/feedback", kill=kill)
        assert ended(world, action) == ("ERROR" if sick else "FINISHED", 1)
        assert world.running.version == ("1.0.0" if sick else "1.1.0")
        assert "OTA_TRIAL" not in world.environment()


def test_words_on_the_way_may_be_lost_in_a_row(world: World) -> None:
    with world:
        action = world.deploy(world.publish("1.1.0"))
        lose(world, r"/(deploymentBase|configData)", times=4, kill=True)
        assert ended(world, action) == ("FINISHED", 1)
        assert world.running.version == "1.1.0"
