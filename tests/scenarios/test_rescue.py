"""No slot boots any more: the rescue system comes up, takes an update, and leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.stage import deployed

from agent.codes import number
from agent.demo.bootsim import Bootloader
from agent.demo.factory import RESCUE, Timing
from agent.demo.images import MIB
from agent.demo.world import World

WORDS = {"uboot": ("BOOT_ORDER", "BOOT_A_LEFT", "3"), "grub": ("ORDER", "A_OK", "1")}


@pytest.fixture(params=["uboot", "grub"])
def lost(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A device whose only system was destroyed; what runs is the rescue system."""
    bootloader: Bootloader = request.param
    timing = Timing(deadline=3)
    with World(
        tmp_path / "world", size=8, timing=timing, bootloader=bootloader, bootnames=("A", "B", RESCUE), bus=True
    ) as world:
        world.wait_settled()
        assert world.running.bootname == "A"
        world.board.power_cut()
        world.board.slots["A"].write_bytes(bytes(12 * MIB))
        world.board.power_on()
        assert world.running.bootname == RESCUE
        yield world


@pytest.mark.timeout(60)
@pytest.mark.req("S07", "S08")
def test_a_device_without_a_system_takes_an_update_from_the_rescue_system(lost: World) -> None:
    assert lost.wait_for(lambda: lost.properties().get("Slot"), 10, "the device is on its bus") == RESCUE
    assert lost.properties()["Rescue"] is True
    published = lost.publish("1.1.0")
    rescue = lost.slot_sha256(RESCUE)

    assert lost.wait_ended(lost.deploy(published)) == "FINISHED"

    lost.wait_settled()
    assert (lost.running.bootname, lost.running.version) == ("A", "1.1.0")
    assert lost.slot_sha256("A", published.image_size) == published.image_sha256
    assert lost.slot_sha256(RESCUE) == rescue
    lost.wait_for(lambda: lost.properties().get("Rescue") is False, 10, "the new system is on the bus")
    order, good, proved = WORDS[lost.board.bootloader]
    environment = lost.environment()
    assert (environment[order], environment[good]) == ("A B", proved)
    assert not [name for name in environment if name in (f"BOOT_{RESCUE}_LEFT", f"{RESCUE}_OK", f"{RESCUE}_TRY")]


@pytest.mark.timeout(60)
@pytest.mark.req("S07")
@pytest.mark.parametrize(
    ("how", "code"), [({"sick": "no picture"}, "health.failed"), ({"bootable": False}, "boot.fallback")]
)
def test_an_update_that_fails_leads_back_to_the_rescue_system(lost: World, how: dict[str, object], code: str) -> None:
    action_id = deployed(lost, "1.2.0", **how)

    assert lost.wait_ended(action_id) == "ERROR"

    lost.wait_idle()
    assert (lost.running.bootname, lost.history(action_id)[-1].code) == (RESCUE, number(code))
    environment = lost.environment()
    assert "OTA_TRIAL" not in environment
    assert environment[{"uboot": "BOOT_A_LEFT", "grub": "A_OK"}[lost.board.bootloader]] == "0"
    assert lost.wait_ended(deployed(lost, "1.3.0")) == "FINISHED"
    assert (lost.running.bootname, lost.running.version) == ("A", "1.3.0")


@pytest.mark.timeout(60)
@pytest.mark.req("S08")
def test_power_cuts_while_the_rescue_system_writes_lead_back_to_it(lost: World) -> None:
    lost.server.faults.throttle(4_000_000)
    action_id = deployed(lost, "1.1.0")
    for _ in range(2):
        lost.wait_for(lambda: lost.state == "staging" and lost.board.written()[1] > 0, 30, "the slot is being written")
        lost.board.power_cut()
        assert lost.board.power_on().bootname == RESCUE
    lost.server.faults.clear()
    assert lost.wait_ended(action_id) == "FINISHED"
    assert (lost.running.bootname, lost.running.version) == ("A", "1.1.0")
