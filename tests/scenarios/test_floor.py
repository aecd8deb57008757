"""What a device never goes below: the version floor and the earliest possible time, both raised by confirmed bundles only."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shelf import Shelf, dated, offer, trust

from agent.demo.factory import Timing
from agent.demo.world import World

LATE = Path(__file__).parents[1] / "support" / "late_daemon.py"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    overrides = {"update.allow-downgrade": True, "update.attempts": 2}
    with trust(World(tmp_path / "world", size=8, timing=Timing(deadline=2), overrides=overrides)) as world:
        world.wait_settled()
        yield world


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def asking_for(version: str) -> str:
    return f"[meta.cra]\nmin-version={version}\n"


def ended(world: World, bundle: Path) -> str:
    """Deploys; returns the status, or the code of the error."""
    action_id = offer(world, bundle)
    status = world.wait_ended(action_id)
    world.wait_settled()
    if status != "ERROR":
        return status
    return world.history(action_id)[-1].messages[0].partition("]")[0].lstrip("[")


def floor(world: World) -> object:
    return world.board.document("facts").get("floor", "")


@pytest.mark.timeout(90)
@pytest.mark.req("S06", "S37", "T01")
def test_only_a_confirmed_bundle_raises_the_floor_and_nothing_goes_below_it(world: World, shelf: Shelf) -> None:
    sick = shelf.bundle("3.0.0", image=shelf.image("3.0.0", sick="no sound"), extra=asking_for("3.0.0"))
    assert ended(world, sick) == "health.failed"
    assert floor(world) == ""

    action_id = offer(world, shelf.bundle("2.1.0", extra=asking_for("2.0.0")))
    world.wait_for(lambda: world.state == "trial", 30, "the new system is on trial")
    assert floor(world) == "", "it has not proved itself yet"
    assert world.wait_ended(action_id) == "FINISHED"
    world.wait_settled()
    assert floor(world) == "2.0.0"

    before = (world.running, world.slot_sha256("A"), world.slot_sha256("B"), world.environment())
    assert ended(world, shelf.bundle("1.9.9")) == "policy.below-floor"
    assert (world.running, world.slot_sha256("A"), world.slot_sha256("B"), world.environment()) == before
    assert ended(world, shelf.bundle("2.0.0")) == "FINISHED", "going back is allowed here, down to the floor"
    assert floor(world) == "2.0.0"
    assert ended(world, shelf.bundle("2.2.0", extra=asking_for("0.1.0"))) == "FINISHED"
    assert floor(world) == "2.0.0", "it never goes down"


def restarted(world: World, program: list[str]) -> None:
    world.board.power_cut()
    world.board.program = program
    world.board.power_on()
    world.wait_settled()


@pytest.mark.timeout(90)
@pytest.mark.req("S05")
def test_a_clock_in_the_past_is_made_up_for_by_confirmed_bundles_only(world: World, shelf: Shelf) -> None:
    right, late = world.board.program, [sys.executable, str(LATE), "30"]
    bundle = shelf.bundle("2.0.0")
    sick = shelf.bundle("2.0.1", image=shelf.image("2.0.1", sick="no sound"))
    assert ended(world, sick) == "health.failed"
    restarted(world, late)
    assert ended(world, bundle) == "bundle.certificate-not-yet-valid"
    restarted(world, right)
    assert ended(world, bundle) == "FINISHED"
    restarted(world, late)
    assert ended(world, shelf.bundle("2.0.2", image=shelf.image("2.0.2"))) == "FINISHED"
    assert world.running.version == "2.0.2"


@pytest.mark.timeout(90)
@pytest.mark.req("S05")
def test_a_signer_whose_clock_is_ahead_does_not_end_the_time_of_the_device(world: World, shelf: Shelf) -> None:
    bundle = shelf.bundle("2.0.0")
    bundle.write_bytes(dated(bundle, dt.datetime(2045, 1, 1, tzinfo=dt.UTC)))
    assert ended(world, bundle) == "FINISHED"
    assert ended(world, shelf.bundle("2.1.0")) == "FINISHED"
