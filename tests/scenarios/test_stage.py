"""What only a whole device can show: an unbootable system, a damaged bundle, the stage that other tests stand on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stage import deployed, installed, stage

from agent.demo.processes import everyone


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_stage_begins_with_a_settled_device(tmp_path: Path) -> None:
    with stage(tmp_path, bus=True) as world:
        world.wait_settled()
        assert (world.running.bootname, world.running.version) == ("A", "1.0.0")
        assert world.environment()["BOOT_A_LEFT"] == "3"
        assert (world.properties()["Slot"], world.properties()["CurrentVersion"]) == ("A", "1.0.0")
        daemon = world.board.daemon_pid
        assert daemon in everyone(daemon)
    assert world.board.powered is False
    assert everyone(daemon) == set()


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.req("S07", "S31")
def test_a_system_that_does_not_start_uses_up_its_attempts_and_is_reported(tmp_path: Path) -> None:
    said: list[str] = []
    with stage(tmp_path, listen=lambda event: said.append(event.text)) as world:
        action = deployed(world, "1.1.0", bootable=False)

        assert world.wait_ended(action) == "ERROR"

        assert len([text for text in said if "slot B holds no system" in text]) == 3
        assert (world.running.bootname, world.running.version) == ("A", "1.0.0")
        assert "boot.fallback" in world.messages(action)
        environment = world.environment()
        assert environment["BOOT_ORDER"].split()[0] == "A"
        assert "OTA_TRIAL" not in environment
        world.wait_settled()


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.req("S04", "T09")
def test_a_bundle_damaged_on_the_way_is_refused_and_the_next_one_is_installed(tmp_path: Path) -> None:
    def damage(bundle: Path) -> None:
        data = bytearray(bundle.read_bytes())
        data[len(data) // 2] ^= 1
        bundle.write_bytes(data)

    with stage(tmp_path) as world:
        action = deployed(world, "1.1.0", mutate=damage)
        assert world.wait_ended(action) == "ERROR"
        assert len(world.board.boots) == 1
        assert world.environment()["BOOT_ORDER"].split()[0] == "A"

        installed(world, "1.1.1")
        installed(world, "1.1.2")
        assert world.running.bootname == "A"
