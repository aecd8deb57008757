"""Updates on a board with GRUB: what is left in the environment block is what RAUC would leave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.shelf import Shelf, offer, trust

from agent.codes import number
from agent.demo.factory import Timing
from agent.demo.images import MIB
from agent.demo.world import World, sha256


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("grub")
    with trust(World(home / "world", size=8, timing=Timing(deadline=3), bootloader="grub")) as world:
        yield world


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(autouse=True)
def _settled(world: World) -> None:
    world.wait_settled()


def listed(path: Path) -> Mapping[str, str]:
    text = subprocess.run(["grub-editenv", path, "list"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def as_rauc_leaves_it(world: World, directory: Path, *changes: tuple[str, ...]) -> Mapping[str, str]:
    """Applies RAUC's calls of grub-editenv, one after the other, to a copy of the block."""
    copy = directory / "grubenv"
    shutil.copyfile(world.board.flash.path, copy)
    for pairs in changes:
        subprocess.run(["grub-editenv", copy, "set", *pairs], check=True)
    return listed(copy)


@pytest.mark.timeout(60)
@pytest.mark.req("S01", "S02", "S03")
def test_a_good_update_leaves_what_rauc_leaves(world: World, shelf: Shelf, tmp_path: Path) -> None:
    old, new = world.running.bootname, world.other
    expected = as_rauc_leaves_it(
        world,
        tmp_path,
        (f"{new}_OK=0", f"{new}_TRY=0"),  # before writing: bad
        (f"{new}_OK=1", f"{new}_TRY=0", f"ORDER={new} {old}"),  # after writing: primary
        (f"{new}_OK=1", f"{new}_TRY=0"),  # after the boot: mark-good
    )
    assert world.wait_ended(offer(world, shelf.bundle("1.1.0"))) == "FINISHED"
    world.wait_settled()
    assert (world.running.bootname, world.running.version) == (new, "1.1.0")
    assert world.slot_sha256(new, 8 * MIB) == sha256(shelf.image("1.1.0"))
    assert listed(world.board.flash.path) == expected
    assert len(world.board.flash.path.read_bytes()) == 1024


@pytest.mark.timeout(60)
@pytest.mark.req("S07")
def test_a_sick_system_is_left_and_its_slot_is_bad(world: World, shelf: Shelf, tmp_path: Path) -> None:
    old, new = world.running, world.other
    bad = as_rauc_leaves_it(world, tmp_path, (f"{new}_OK=0", f"{new}_TRY=0"))
    sick = shelf.bundle("1.2.0", image=shelf.image("1.2.0", sick="no picture"))
    action_id = offer(world, sick)
    assert world.wait_ended(action_id) == "ERROR"
    world.wait_settled()
    assert (world.running.bootname, world.running.version) == (old.bootname, old.version)
    assert "health.failed" in world.messages(action_id)
    assert "no picture" in world.messages(action_id)
    assert listed(world.board.flash.path) == {**bad, "ORDER": f"{old.bootname} {new}"}


@pytest.mark.timeout(60)
@pytest.mark.req("S07")
def test_a_system_that_does_not_boot_costs_one_attempt(world: World, shelf: Shelf) -> None:
    old, new, boots = world.running, world.other, len(world.board.boots)
    action_id = offer(world, shelf.bundle("1.3.0", image=shelf.image("1.3.0", bootable=False)))
    assert world.wait_ended(action_id) == "ERROR"
    world.wait_settled()
    assert [boot.bootname for boot in world.board.boots[boots:]] == [old.bootname]
    assert world.running.version == old.version
    last = world.history(action_id)[-1]
    assert (last.type, last.code) == ("ERROR", number("boot.fallback"))
    assert last.messages[0].startswith("[boot.fallback] ")
    environment = world.environment()
    assert (environment[f"{new}_OK"], environment["ORDER"].split()[0]) == ("0", old.bootname)
    assert "OTA_TRIAL" not in environment
    assert world.board.document("slots")["groups"][new]["state"] == "bad"  # type: ignore[index]  # JSON


@pytest.mark.timeout(60)
@pytest.mark.req("S07", "S08")
def test_without_a_good_slot_grub_tries_the_good_ones_again(world: World, shelf: Shelf) -> None:
    """A power cut in the middle of a first boot leaves TRY=1 on both slots; the device must not be lost by that."""
    world.board.power_cut()
    variables = dict(world.board.flash.load().variables)
    world.board.flash.save({**variables, "A_TRY": "1", "B_TRY": "1"})
    version = world.running.version
    assert world.board.power_on().version == version
    world.wait_settled()
    assert world.wait_ended(offer(world, shelf.bundle("1.4.0"))) == "FINISHED"
    assert world.running.version == "1.4.0"


@pytest.mark.timeout(60)
@pytest.mark.req("S08", "T26")
def test_a_garbage_block_is_made_anew_by_the_agent_and_the_next_update_works(world: World, shelf: Shelf) -> None:
    """GRUB itself can neither store into such a file nor make one."""
    version, old = world.running.version, world.running.bootname
    world.board.flash.path.write_bytes(b"\0" * 1024)
    os.kill(world.board.daemon_pid, signal.SIGKILL)
    world.wait_for(lambda: world.board.flash.path.read_bytes()[:1] == b"#", 30, "the block to be made anew")
    world.wait_settled()
    environment = listed(world.board.flash.path)
    assert (environment["ORDER"].split()[0], environment[f"{old}_OK"], environment[f"{old}_TRY"]) == (old, "1", "0")
    world.board.power_cut()
    assert world.board.power_on().version == version
    world.wait_settled()
    assert world.wait_ended(offer(world, shelf.bundle("1.5.0"))) == "FINISHED"
    assert world.running.version == "1.5.0"
