"""Why a new system did not stay: each cause is told apart, and reaches the server, D-Bus and the state of the device.

One device with the real daemon goes through all of them. Its watchdog and the kernel's records are files, which a test writes
as the hardware and the kernel would; a reset is a SIGKILL of everything. A new system has one boot attempt.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.shelf import Shelf, offer, trust
from support.stage import stage

from agent.codes import number
from agent.demo.factory import Timing
from agent.demo.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SETTINGS = {"bootloader.boot-attempts": 1, "bootloader.boot-attempts-primary": 1, "health.check-timeout": 30}
PROGRAM = """#!/bin/sh
grep -q VERSION_ID=1 {run}/os-release && exit 0
. {run}/behaviour
"""
_seconds = itertools.count(10)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Shelf(tmp_path_factory.mktemp("shelf"), 8).bundle("2.0.0")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("reasons")
    timing = Timing(deadline=1.5, soak=0.2)
    with trust(World(home / "world", size=8, timing=timing, overrides=SETTINGS, bus=True)) as world:
        world.wait_for(lambda: world.environment()["BOOT_A_LEFT"] == "1", 30, "the first system has proved itself")
        program = world.directory / "health.d" / "10-app"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(run=world.directory / "run"))
        program.chmod(0o755)
        (world.directory / "run" / "pstore").mkdir()
        panic(world, "of long ago")
        watchdog(world, 0)
        yield world


def panic(world: World, words: str) -> None:
    """What ramoops shows after a panic (Documentation/admin-guide/ramoops.rst)."""
    moment = next(_seconds)
    text = (
        f"Panic#1 Part1\n<0>[   {moment}.000001] Kernel panic - not syncing: {words}\n<4>[   {moment}.000002] CPU: 0\n"
    )
    (world.directory / "run" / "pstore" / "dmesg-ramoops-0").write_text(text)


def watchdog(world: World, bootstatus: int) -> None:
    directory = world.directory / "run" / "watchdog" / "watchdog0"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "options").write_text("0x81a0\n")
    (directory / "bootstatus").write_text(f"{bootstatus}\n")


def update(world: World, bundle: Path, behaviour: str, strike: Callable[[], None] | None = None) -> str:
    """An update to a system that behaves so and is struck while it is on trial; returns the action's id."""
    (world.directory / "run" / "behaviour").write_text(behaviour)
    action_id = offer(world, bundle)
    if strike is not None:
        world.wait_for(lambda: bool(world.board.document("trial").get("boots")), 60, "the new system is on trial")
        strike()
    assert world.wait_ended(action_id) == "ERROR"
    world.wait_idle()
    return action_id


def told(world: World, action_id: str) -> tuple[str, str]:
    """The code and the text that the server has as the end of an action; everybody else on the device has the same code."""
    assert world.running.version == "1.0.0"
    last = [entry for entry in world.history(action_id) if entry.type == "ERROR"][-1]
    code = str(world.board.document("ending")["code"])
    assert last.code == number(code)
    assert last.messages[0].startswith(f"[{code}] ")
    assert all(len(line) <= 512 for line in last.messages)
    world.wait_for(world.properties, 10, "the device is on the bus")
    result = world.properties()["LastResult"]
    assert isinstance(result, tuple)
    assert result[2] == code
    assert not world.board.document("trial"), "the notes are gone once the end is told"
    return code, "\n".join(last.messages)


def reset(world: World) -> None:
    world.board.power_cut()
    world.board.power_on()


HANGS = "sleep 60"


@pytest.mark.req("S07")
def test_a_kernel_panic(world: World, bundle: Path) -> None:
    def strike() -> None:
        panic(world, "Attempted to kill init! exitcode=0x0000000b")
        watchdog(world, 0x20)  # the panicked kernel did not feed it
        reset(world)

    code, text = told(world, update(world, bundle, HANGS, strike))
    watchdog(world, 0)
    assert code == "boot.panic"
    assert "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b" in text


@pytest.mark.req("S07")
def test_a_watchdog(world: World, bundle: Path) -> None:
    def strike() -> None:
        watchdog(world, 0x20)
        reset(world)

    code, text = told(world, update(world, bundle, HANGS, strike))
    watchdog(world, 0)
    assert code == "boot.watchdog"
    assert "panic" not in text


@pytest.mark.req("S07", "S08")
def test_a_power_cut(world: World, bundle: Path) -> None:
    code, text = told(world, update(world, bundle, HANGS, lambda: reset(world)))
    assert code == "boot.power-cut"
    assert "its update agent started once" in text


@pytest.mark.req("S07")
def test_a_restart_by_somebody(world: World, bundle: Path) -> None:
    def strike() -> None:
        os.kill(world.board.daemon_pid, signal.SIGTERM)
        world.wait_for(lambda: "stopped" in str(world.board.document("trial")), 20, "the agent has ended")
        reset(world)

    code, _ = told(world, update(world, bundle, HANGS, strike))
    assert code == "boot.restarted"


@pytest.mark.req("S07")
def test_a_failed_check(world: World, bundle: Path) -> None:
    code, text = told(world, update(world, bundle, "echo the modem is silent; exit 1"))
    assert code == "health.failed"
    assert "health.d/10-app: the modem is silent (exit status 1)" in text


@pytest.mark.req("S07")
def test_a_deadline(world: World, bundle: Path) -> None:
    code, text = told(world, update(world, bundle, "sleep 1.7"))
    assert code == "health.deadline"
    assert "the checks were not green for 0.2 s within 1" in text


@pytest.mark.req("S07")
def test_a_failed_unit(tmp_path: Path) -> None:
    """No service manager knows this unit, whether one runs here or not."""
    settings = {**SETTINGS, "health.units": ["ota-agent-test-of-a-unit-that-is-down.service"]}
    with stage(tmp_path, timing=Timing(deadline=1.0, soak=0.2), overrides=settings, bus=True) as world:
        action_id = world.deploy(world.publish("2.0.0"))
        assert world.wait_ended(action_id) == "ERROR"
        world.wait_idle()
        code, text = told(world, action_id)
        assert code == "health.unit-failed"
        assert "units: " in text


@pytest.mark.req("S07")
def test_an_agent_that_cannot_work_leaves_its_reason_for_the_system_before(world: World) -> None:
    marker = f"{world.running.bootname},7,{'ab' * 8}"
    world.board.power_cut()
    before, config = world.board.flash.load().variables, world.board.config.read_text()
    world.board.flash.save({**before, "OTA_TRIAL": marker})
    world.board.config.write_text(config.replace("[update]\n", "[update]\nno-such-setting = 1\n"))
    entry = world.board.program[2]
    command = [sys.executable, "-I", entry, "daemon", "--config", str(world.board.config)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 1
    world.board.config.write_text(config)
    world.board.flash.save(before)
    notes = world.board.document("trial")
    assert (notes["marker"], "config.invalid" in str(notes["boots"])) == (marker, True)
    world.board.power_on()
