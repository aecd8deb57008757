"""kill -9 of each of the three processes in each state: the device ends confirmed or cleanly failed, and the server knows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.daemon.machine import State
from agent.demo.factory import CONTROLLER, Timing
from agent.demo.server_actions import force
from agent.demo.world import World

PROCESSES = ("daemon", "fetcher", "installer")
# Which children the activity of a state starts, or finds kept for the next request. A kill of what is not there would prove
# nothing: there the test proves that it is not there.
STARTS = {
    State.IDLE: {"fetcher"},
    State.OFFERED: {"fetcher"},
    State.HELD: {"fetcher"},
    State.INSPECTING: {"fetcher", "installer"},
    State.WAITING: {"installer"},
    State.FETCHING: {"fetcher", "installer"},
    State.STAGING: {"fetcher", "installer"},
    State.STAGED: {"fetcher"},
    State.ACTIVATING: set(),
    State.REBOOTING: set(),
    State.TRIAL: {"fetcher"},
    State.CONFIRMING: set(),
    State.REVERTING: set(),
    State.REPORTING: {"fetcher"},
}
ASKS = {State.WAITING}  # where the server is asked too, if it lasts
SICK = {State.REVERTING}  # reached only when the new system fails
FORCE = {State.HELD: "soft", State.FETCHING: "downloadonly"}  # reached only by these kinds of assignment
ENDED = ("FINISHED", "ERROR", "CANCELED")
ENDS = {State.REVERTING: ("ERROR", "1.0.0"), State.FETCHING: ("DOWNLOADED", "1.0.0")}


def moments(state: State, process: str) -> tuple[str, ...]:
    """Once is enough where there is nothing to kill."""
    return ("entry", "work") if process == "daemon" or process in STARTS[state] else ("entry",)


CASES = [(state, process, moment) for state in State for process in PROCESSES for moment in moments(state, process)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world", size=8, timing=Timing(), overrides={"update.soft": "ask"})


def become_forced(world: World, action: str) -> None:
    """What an operator does to whom it takes too long."""
    with world.server.lock:
        force(world.server.state, world.server.state.find_action(action))


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
        expects_strike = process == "daemon" or process in STARTS[state]
        action = world.server.assign(CONTROLLER, published.module, FORCE.get(state, "forced"))
        if state is State.HELD:
            world.wait_for(lambda: world.state == "held", 60, "it waits")
            if expects_strike:
                world.wait_for(marker.exists, 60, "the blow falls while it waits")
            become_forced(world, action)
        status = world.wait_ended(action, 90)
        world.wait_idle(30)

        certain = not (process == "fetcher" and state in ASKS)
        if certain and (moment == "entry" or not expects_strike):
            assert marker.exists() == expects_strike, "the blow fell where none was expected, or did not fall"
        end, version = ENDS.get(state, ("FINISHED", "1.1.0"))
        assert status == end
        ends = [entry for entry in world.history(action) if entry.type in (*ENDED, end)]
        assert len(ends) == 1, "the server hears one end"
        assert world.running.version == version
        environment = world.environment()
        assert "OTA_TRIAL" not in environment
        assert environment["BOOT_ORDER"].split()[0] == world.running.bootname
        assert int(environment[f"BOOT_{world.running.bootname}_LEFT"], 16) == 3
        if version == "1.1.0":
            assert world.slot_sha256(world.running.bootname, published.image_size) == published.image_sha256
        elif sick:
            assert "health.failed" in world.messages(action)
