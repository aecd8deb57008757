"""The order of the slots is lost: the boot script boots without it, and the agent writes it anew."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.stage import installed, stage

from agent.demo.world import World

LOST = [
    {"BOOT_ORDER": None},
    {"BOOT_ORDER": "X Y"},
    {"BOOT_ORDER": "\x01\x7f=;"},
    {"BOOT_ORDER": None, "BOOT_A_LEFT": None, "BOOT_B_LEFT": None},
    {"BOOT_ORDER": "$A", "BOOT_A_LEFT": "zz", "BOOT_B_LEFT": "zz"},
]


def change(world: World, changes: Mapping[str, str | None]) -> None:
    variables = {**world.board.flash.load().variables, **changes}
    world.board.flash.save({name: value for name, value in variables.items() if value is not None})


def leads(world: World) -> str:
    return (world.environment().get("BOOT_ORDER", "").split() or [""])[0]


@pytest.mark.timeout(60)
@pytest.mark.req("S02", "S08")
def test_a_lost_order_is_healed_by_the_boot_script_and_by_the_agent(tmp_path: Path) -> None:
    with stage(tmp_path) as world:
        installed(world, "1.1.0")
        world.wait_settled()
        for changes in LOST:
            world.board.power_cut()
            change(world, changes)
            assert world.board.power_on().bootname in world.board.slots
            world.wait_settled()
            assert world.environment()["BOOT_ORDER"] == "A B"

            change(world, changes)
            os.kill(world.board.daemon_pid, signal.SIGKILL)
            world.wait_for(lambda: leads(world) == world.running.bootname, 15, "the agent has healed it")
        installed(world, "1.2.0")


@pytest.mark.timeout(60)
@pytest.mark.req("S08")
def test_a_half_written_slot_stays_out_of_a_healed_order(tmp_path: Path) -> None:
    with stage(tmp_path, size=16) as world:
        world.wait_settled()
        world.server.faults.throttle(4_000_000)
        action_id = world.deploy(world.publish("1.1.0"))
        world.wait_for(lambda: world.state == "staging" and world.checkpoint > 0, 30, "the slot is half written")
        os.kill(world.board.daemon_pid, signal.SIGKILL)
        change(world, {"BOOT_ORDER": None})
        world.wait_for(lambda: world.environment().get("BOOT_ORDER"), 15, "it is healed")
        assert world.environment()["BOOT_ORDER"] == "A"
        world.server.faults.clear()
        assert world.wait_ended(action_id) == "FINISHED"
        assert world.environment()["BOOT_ORDER"] == "B A"
