"""kill -9 of each of the three processes in each state: the device ends confirmed or cleanly failed, and the server knows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.daemon.machine import State
from agent.demo.factory import Timing
from agent.demo.world import World

PROCESSES = ("daemon", "fetcher", "installer")
# Which children the activity of a state starts, or finds kept for the next request. A kill of what is not there would prove
# nothing: there the test proves that it is not there.
STARTS = {
    State.IDLE: {"fetcher"},
    State.OFFERED: {"fetcher"},
    State.INSPECTING: {"fetcher", "installer"},
    State.WAITING: {"installer"},
    State.STAGING: {"fetcher", "installer"},
    State.STAGED: {"fetcher"},
    State.ACTIVATING: set(),
    State.REBOOTING: set(),
    State.TRIAL: {"fetcher"},
    State.CONFIRMING: set(),
    State.REVERTING: set(),
    State.REPORTING: {"fetcher"},
}
SICK = {State.REVERTING}  # reached only when the new system fails
MOMENTS = {"daemon": ("entry", "work"), "fetcher": ("entry", "work"), "installer": ("entry", "work")}
CASES = [(state, process, moment) for state in State for process in PROCESSES for moment in MOMENTS[process]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world", size=8, timing=Timing())


def test_no_state_is_left_out() -> None:
    assert set(STARTS) == set(State)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.req("S08", "S07", "S02")
@pytest.mark.parametrize(("state", "process", "moment"), CASES)
def test_a_kill_ends_confirmed_or_cleanly_failed(
    world: World, tmp_path: Path, state: State, process: str, moment: str
) -> None:
    marker, sick = tmp_path / "struck", state in SICK
    struck = Path(__file__).parents[1] / "support" / "struck_daemon.py"
    world.board.program = [sys.executable, str(struck), str(marker), state.value, process, moment]
    with world:
        published = world.publish("1.1.0", sick="told to fail" if sick else "")
        action = world.deploy(published)
        status = world.wait_ended(action, 90)
        world.wait_idle(30)

        expects_strike = process == "daemon" or process in STARTS[state]
        if moment == "entry" or not expects_strike:
            assert marker.exists() == expects_strike, "the blow fell where none was expected, or did not fall"
        assert status == ("ERROR" if sick else "FINISHED")
        ends = [entry for entry in world.history(action) if entry.type in ("FINISHED", "ERROR", "CANCELED")]
        assert len(ends) == 1, "the server hears one end"
        assert world.running.version == ("1.0.0" if sick else "1.1.0")
        environment = world.environment()
        assert "OTA_TRIAL" not in environment
        assert environment["BOOT_ORDER"].split()[0] == world.running.bootname
        assert int(environment[f"BOOT_{world.running.bootname}_LEFT"], 16) == 3
        if not sick:
            assert world.slot_sha256(world.running.bootname, published.image_size) == published.image_sha256
        else:
            assert "health.failed" in world.messages(action)
