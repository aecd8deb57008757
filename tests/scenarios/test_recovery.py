"""Resets and signals at the worst moments, on a whole device."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.stage import deployed, installed, stage

from agent.demo.server_faults import Fault


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.req("S07", "S08")
def test_power_cuts_while_writing_never_boot_the_half_written_slot(tmp_path: Path) -> None:
    """More cuts than the running slot has attempts, each before this boot could be marked good."""
    with stage(tmp_path, size=24) as world:
        installed(world, "1.1.0")
        world.wait_settled()
        running = world.running.bootname
        world.server.faults.throttle(4_000_000)
        action = deployed(world, "1.2.0")
        world.wait_for(lambda: world.state == "staging" and world.checkpoint > 0, 30, "the slot is half written")
        for _ in range(5):
            world.board.power_cut()
            world.board.power_on()
            assert (world.running.bootname, world.running.version) == (running, "1.1.0")
        world.server.faults.clear()
        assert world.wait_ended(action) == "FINISHED"
        assert world.running.version == "1.2.0"


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.req("T26")
@pytest.mark.parametrize("order", ["", "x y"])
def test_a_daemon_that_starts_on_a_healthy_system_repairs_an_order_that_was_lost(tmp_path: Path, order: str) -> None:
    with stage(tmp_path) as world:
        world.wait_settled()
        config = str(world.board.config.parent / "fw_env.config")
        os.kill(world.board.daemon_pid, signal.SIGKILL)
        subprocess.run(["fw_setenv", "-c", config, "BOOT_ORDER", order], check=True, timeout=20)
        assert (world.environment().get("BOOT_ORDER") or "") == order
        world.wait_for(lambda: "A" in world.environment().get("BOOT_ORDER", ""), 20, "the new daemon repairs the order")
        assert world.environment()["BOOT_ORDER"].split()[0] == "A"
        world.board.power_cut()
        assert world.board.power_on().bootname == "A"


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("bus", [True, False])
def test_signals_reach_a_daemon_that_waits_for_a_silent_server(tmp_path: Path, bus: bool) -> None:
    with stage(tmp_path, bus=bus, overrides={"server.poll-min": 600}) as world:
        world.wait_settled()
        world.wait_for(lambda: bool(world.server.seen), 10, "the first poll")
        before = len(world.server.seen)
        os.kill(world.board.daemon_pid, signal.SIGHUP)
        world.wait_for(lambda: len(world.server.seen) > before, 10, "a reload asks the server")

        world.server.faults.add(Fault(path="controller", delay=20.0))
        before = len(world.server.seen)
        daemon = world.board.daemon_pid
        os.kill(daemon, signal.SIGHUP)
        world.wait_for(lambda: len(world.server.seen) > before or not world.server.faults.left, 10, "it waits")
        began = time.monotonic()
        os.kill(daemon, signal.SIGTERM)
        while time.monotonic() - began < 10 and _runs(daemon):
            time.sleep(0.02)
        assert not _runs(daemon)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
