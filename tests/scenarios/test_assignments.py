"""A whole device, and the kinds of assignments that hawkBit knows."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.stage import installed, stage

from agent.cli.main import main
from agent.demo.factory import CONTROLLER
from agent.demo.server_config import CONFIRMATION
from agent.demo.world import World


def assigned(world: World, version: str, force: str, window: str = "") -> str:
    return world.server.assign(CONTROLLER, world.publish(version).module, force, window)


def status(world: World, action: str) -> str:
    return world.server.action_status(action)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.req("S01")
def test_a_download_only_assignment_is_downloaded_and_the_next_one_is_installed(tmp_path: Path) -> None:
    with stage(tmp_path) as world:
        action = assigned(world, "1.1.0", "downloadonly")
        world.wait_for(lambda: status(world, action) == "DOWNLOADED", 60, "it is downloaded")
        world.wait_idle()
        assert len(world.board.boots) == 1
        assert "fetched and verified" in world.messages(action)
        installed(world, "1.2.0")
        assert status(world, action) == "DOWNLOADED"


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.req("S01", "C08")
def test_a_soft_assignment_waits_for_somebody_who_denies_one_and_approves_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path, bus=True, overrides={"update.soft": "ask"}) as world:
        world.wait_for(world.properties, 30, "the daemon is on the bus")
        assert main(["approve", "--bus", world.bus]) == 1, "nothing waits"
        first = assigned(world, "1.1.0", "soft")
        world.wait_for(lambda: _consent(world) == "wanted", 30, "it waits")
        assert main(["deny", first, "--reason", "in use", "--bus", world.bus]) == 0
        assert world.wait_ended(first) == "ERROR"
        assert "in use" in world.messages(first)
        assert not world.server.requests(".raucb"), "not a byte was fetched"

        second = assigned(world, "1.1.1", "soft")
        world.wait_for(lambda: _consent(world) == "wanted", 30, "it waits")
        os.kill(world.board.daemon_pid, signal.SIGKILL)
        world.wait_for(lambda: not world.properties(), 30, "the daemon is gone")
        world.wait_for(lambda: _consent(world) == "wanted", 30, "it still waits after a crash")
        assert "waits for consent" in _shown(world, capsys)
        assert main(["approve", "--json", "--bus", world.bus]) == 0
        assert world.wait_ended(second) == "FINISHED"
        assert world.running.version == "1.1.1"


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.req("S01", "S08", "C08")
def test_a_confirmation_is_denied_once_which_outlasts_a_crash_and_given_later(tmp_path: Path) -> None:
    with stage(tmp_path, bus=True) as world:
        world.wait_for(world.properties, 30, "the daemon is on the bus")
        with world.server.lock:
            world.server.state.config.set(CONFIRMATION, True)
        action = assigned(world, "1.1.0", "forced")
        world.wait_for(lambda: _consent(world) == "wanted", 30, "somebody is asked")
        assert main(["deny", "--reason", "not today", "--bus", world.bus]) == 0
        world.wait_for(lambda: "not today" in world.messages(action), 30, "the server knows")
        world.wait_for(lambda: not world.board.document("outbox").get("entries"), 30, "the device knows that it does")
        os.kill(world.board.daemon_pid, signal.SIGKILL)
        world.wait_for(lambda: not world.properties(), 30, "the daemon is gone")
        world.wait_for(lambda: _consent(world) == "denied", 30, "it is still denied after a crash")
        assert status(world, action) == "WAIT_FOR_CONFIRMATION"
        assert world.messages(action).count("not today") == 1
        assert not world.server.requests(".raucb")

        assert main(["approve", action, "--bus", world.bus]) == 0
        assert world.wait_ended(action) == "FINISHED"
        assert world.running.version == "1.1.0"


def _consent(world: World) -> str:
    offer = world.properties().get("Offer")
    return offer.get("consent", "") if isinstance(offer, dict) else ""


def _shown(world: World, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    main(["status", "--bus", world.bus])
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.req("S01")
def test_a_closed_window_is_waited_for_with_the_bundle_inspected_and_a_cancel_is_obeyed(tmp_path: Path) -> None:
    with stage(tmp_path, bus=True) as world:
        world.wait_settled()
        first = assigned(world, "1.1.0", "forced", "unavailable")
        world.wait_for(lambda: world.state == "waiting", 30, "it waits for its window")
        world.server.cancel(first)
        assert world.wait_ended(first) == "CANCELED"

        second = assigned(world, "1.1.1", "forced", "unavailable")
        world.wait_for(lambda: "waiting for the maintenance" in world.messages(second), 30, "it says what it waits for")
        world.server.set_window(second, "available")
        assert world.wait_ended(second) == "FINISHED"
        assert (world.running.version, len(world.board.boots)) == ("1.1.1", 2)
