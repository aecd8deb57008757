"""A device with three slots: each update goes to the next, and two good systems are behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.stage import deployed, installed

from agent.codes import number
from agent.demo.bootsim import Bootloader
from agent.demo.factory import Timing
from agent.demo.images import MIB
from agent.demo.world import World

ORDER = {"uboot": "BOOT_ORDER", "grub": "ORDER"}


@pytest.fixture(params=["uboot", "grub"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    bootloader: Bootloader = request.param
    timing = Timing(deadline=3)
    with World(tmp_path / "world", size=8, timing=timing, bootloader=bootloader, bootnames=("A", "B", "C")) as world:
        world.wait_settled()
        yield world


def order(world: World) -> str:
    return world.environment()[ORDER[world.board.bootloader]]


@pytest.mark.timeout(90)
@pytest.mark.req("S01", "S02", "S03")
def test_three_updates_go_round(world: World) -> None:
    seen = []
    for version in ("1.1.0", "1.2.0", "1.3.0"):
        installed(world, version)
        world.wait_settled()
        seen.append((world.running.bootname, order(world)))
    assert seen == [("B", "B A C"), ("C", "C B A"), ("A", "A C B")]


@pytest.mark.timeout(90)
@pytest.mark.req("S07")
def test_failed_updates_wear_out_one_slot_and_the_two_good_systems_stay(world: World) -> None:
    installed(world, "1.1.0")
    world.wait_settled()
    before = {name: world.slot_sha256(name) for name in "AB"}
    for version in ("1.2.0", "1.2.1"):
        assert world.wait_ended(deployed(world, version, bootable=False)) == "ERROR"
        world.wait_settled()
        assert (world.running.bootname, world.running.version) == ("B", "1.1.0")
    assert {name: world.slot_sha256(name) for name in "AB"} == before
    assert [name for name in order(world).split() if name != "C"] == ["B", "A"]


@pytest.mark.timeout(90)
@pytest.mark.req("S07", "S08")
def test_when_neither_the_new_system_nor_the_one_before_boots_the_third_one_does(world: World) -> None:
    installed(world, "1.1.0")
    world.wait_settled()
    action_id = deployed(world, "1.2.0", bootable=False)
    world.wait_for(lambda: world.state == "staging", 30, "the update is on its way")
    world.board.slots["B"].write_bytes(bytes(12 * MIB))  # the running system dies, and nobody knows yet

    assert world.wait_ended(action_id) == "ERROR"

    world.wait_settled()
    last = world.history(action_id)[-1]
    assert last.code == number("boot.fallback")
    assert "slot C used up its boot attempts, slot A runs" in " ".join(last.messages)
    assert (world.running.bootname, world.running.version) == ("A", "1.0.0")
    assert order(world).split()[0] == "A"
    installed(world, "1.3.0")
    assert world.running.bootname == "B"
