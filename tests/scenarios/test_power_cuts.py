"""The power fails at random moments of an update: the device always ends with a running system that is the right one."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shelf import Shelf, offer, trust

from agent.demo.factory import Timing
from agent.demo.images import MIB
from agent.demo.world import World, sha256

CUTS = 20
SIZE = 8  # MiB
SEED = int(os.environ.get("OTA_POWER_CUT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("power-cuts")
    with trust(World(home / "world", size=SIZE, timing=Timing(soak=0.2, deadline=2))) as world:
        world.wait_settled()
        yield world


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"), SIZE)


def let_pass(world: World, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        world.tick()
        time.sleep(min(left, 0.005))


def is_right(world: World, shelf: Shelf, version: str) -> None:
    """What runs is the whole of a version, is the choice, has all its attempts, and nothing is on trial."""
    running, environment = world.running, world.environment()
    assert running.version == version
    assert world.slot_sha256(running.bootname, SIZE * MIB) == sha256(shelf.image(version))
    assert environment["BOOT_ORDER"].split()[0] == running.bootname
    assert (environment[f"BOOT_{running.bootname}_LEFT"], environment.get("OTA_TRIAL")) == ("3", None)


def struck(world: World, action_id: str, seconds: float) -> tuple[str, str]:
    """Cuts the power after some time; returns the state of that moment, and how the server says that it ended."""
    let_pass(world, seconds)
    moment = world.state or "unknown"
    world.board.power_cut()
    world.board.power_on()
    status = world.wait_ended(action_id, 60)
    world.wait_settled()
    print(f"{moment}: {status}")  # noqa: T201  shown with a failure
    ends = [entry.type for entry in world.history(action_id) if entry.type in ("FINISHED", "ERROR", "CANCELED")]
    assert ends == [status], "the server hears one end"
    return moment, status


def measured(world: World, bundle: Path) -> float:
    """Seconds of an undisturbed update."""
    began = time.monotonic()
    world.wait_ended(offer(world, bundle))
    world.wait_settled()
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.req("S08", "S33")
def test_a_power_cut_at_any_moment_leaves_a_running_system(world: World, shelf: Shelf) -> None:
    print(f"OTA_POWER_CUT_SEED={SEED}")  # noqa: T201  shown with a failure: the moments can be had again
    chance = random.Random(SEED)
    length = measured(world, shelf.bundle("1.1.0"))
    runs, states = "1.1.0", set()
    for number in range(CUTS):
        version = f"2.{number}.0"
        action_id = offer(world, shelf.bundle(version))
        # one in each twentieth of an update
        moment, status = struck(world, action_id, length * (number + chance.random()) / CUTS)
        states.add(moment)
        assert status in ("FINISHED", "ERROR")
        runs = version if status == "FINISHED" else runs
        is_right(world, shelf, runs)
    assert len(states) >= 3, "the moments were not spread"


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.req("S07", "S08", "S33")
def test_a_power_cut_on_the_way_back_does_not_keep_a_sick_system(world: World, shelf: Shelf) -> None:
    print(f"OTA_POWER_CUT_SEED={SEED}")  # noqa: T201  as above
    chance = random.Random(SEED)
    runs = world.running.version
    if runs == "1.0.0":
        runs = "3.0.0"
        assert world.wait_ended(offer(world, shelf.bundle(runs))) == "FINISHED"
        world.wait_settled()
    sick = shelf.bundle("4.0.0", image=shelf.image("4.0.0", sick="it is too hot"))
    for state in ("rebooting", "trial", "reverting", "reporting"):
        action_id = offer(world, sick)
        world.wait_for(lambda wanted=state: world.state == wanted, 60, f"the device is {state}")
        _, status = struck(world, action_id, chance.random() / 50)
        assert status == "ERROR"
        is_right(world, shelf, runs)
