"""A slot that rots is found on request, told, and not booted; seen through the command line of a real device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.stage import deployed, installed, stage

import agent
from agent.demo.world import World

ENTRY = Path(agent.__file__).with_name("__main__.py")


def cli(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(ENTRY), *arguments, "--bus", world.bus]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.req("S07")
def test_a_rotten_fallback_is_found_told_and_out_of_the_boot_order(tmp_path: Path) -> None:
    with stage(tmp_path, bus=True) as world:
        world.wait_settled()
        nothing = cli(world, "scrub")
        assert (nothing.returncode, "rootfs.1" in nothing.stdout) == (3, True), "nothing was installed by us yet"
        installed(world, "2.0.0")
        installed(world, "3.0.0")
        world.wait_settled()
        assert cli(world, "scrub", "rootfs.0").returncode == 1, "it is running"
        fine = cli(world, "scrub", "--json")
        assert (fine.returncode, json.loads(fine.stdout)["slots"][0]["result"]) == (0, "ok"), fine.stdout
        with world.board.slots["B"].open("r+b") as file:
            file.seek(5 * 1024 * 1024)
            file.write(b"rot")
        found = cli(world, "scrub")
        assert (found.returncode, "DAMAGED" in found.stdout) == (1, True)
        assert "slot.damaged" in found.stderr
        assert world.environment()["BOOT_ORDER"] == "A"
        slots = json.loads(cli(world, "status", "--json").stdout)["Slots"]
        assert (slots["rootfs.1"]["status"], slots["rootfs.1"]["scrubbed.result"]) == ("failed", "damaged")
        assert (slots["rootfs.0"]["status"], slots["rootfs.0"]["bundle.version"]) == ("ok", "3.0.0")
        assert "NOT USABLE" in cli(world, "status").stdout
        installed(world, "4.0.0")
        assert world.running.bootname == "B"
        slots = json.loads(cli(world, "status", "--json").stdout)["Slots"]
        assert (slots["rootfs.1"]["status"], slots["rootfs.1"]["installed.count"]) == ("ok", "2")


def damage(bundle: Path) -> None:
    """Changes a byte in the middle of the payload: the signature holds, one block does not."""
    with bundle.open("r+b") as file:
        file.seek(bundle.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.req("S04")
def test_what_a_failed_update_leaves_behind_is_known_to_be_incomplete(tmp_path: Path) -> None:
    with stage(tmp_path, bus=True) as world:
        installed(world, "2.0.0")
        action = deployed(world, "3.0.0", mutate=damage)
        assert world.wait_ended(action) == "ERROR"
        world.wait_idle()
        status = world.board.document("slots")["slots"]["rootfs.0"]  # type: ignore[index]  # JSON
        assert (status["status"], status["bundle.version"]) == ("failed", "3.0.0")
        assert "sha256" not in status
        world.wait_settled()
        assert cli(world, "scrub", "A").returncode == 3, "there is nothing to compare"
