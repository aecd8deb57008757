"""A whole device whose user has a say: opt-out, consent, postponement, windows, and what outlasts slots and restarts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.stage import deployed, stage

from agent.cli.client import Client
from agent.cli.main import main
from agent.consent.windows import DAYS
from agent.daemon.dbus_names import POLICY, UPDATE
from agent.demo.world import World
from agent.errors import OtaError

CRITICAL = {
    "class": "security",
    "urgency": "critical",
    "fixes": "CVE-2027-12345",
    "summary-en": "Fixes remote login bypass",
}


def told(world: World, interface: str = UPDATE) -> dict[str, Any]:
    try:
        with Client(world.bus) as client:
            return client.properties(interface)
    except OtaError:  # it is not there yet, or not any more
        return {}


def waits(world: World, *reasons: str) -> None:
    world.wait_for(lambda: told(world).get("WaitsFor") == list(reasons), 30, f"it waits for {', '.join(reasons)}")


def notice(world: World) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((world.directory / "run" / "ota-agent" / "notice.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def say(world: World, *words: str) -> int:
    return main([*words, "--bus", world.bus])


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.req("C05", "C06")
def test_an_opt_out_outlasts_resets_and_slots_and_silences_a_forced_installation_but_no_notice(tmp_path: Path) -> None:
    with stage(tmp_path, bus=True) as world:
        world.wait_for(world.properties, 30, "the daemon is on the bus")
        world.wait_settled()
        other = world.slot_sha256(world.other)
        assert say(world, "auto", "off") == 0
        action = deployed(world, "1.1.0", cra=CRITICAL)
        waits(world, "opt-out")
        world.wait_for(lambda: "opted out" in world.messages(action), 30, "the server knows")
        assert (notice(world)["version"], notice(world)["urgency"], notice(world)["verified"]) == (
            "1.1.0",
            "critical",
            True,
        )

        world.board.power_cut()
        world.board.power_on()
        waits(world, "opt-out")
        assert notice(world)["fixes"] == ["CVE-2027-12345"], "it is there again after a restart"
        assert world.slot_sha256(world.other) == other, "not a byte of a slot was written"
        assert world.server.action_status(action) in ("RUNNING", "RETRIEVED"), "it is still open"

        assert say(world, "approve") == 0
        assert world.wait_ended(action) == "FINISHED"
        assert world.running.version == "1.1.0"
        world.wait_for(lambda: not notice(world), 30, "what is installed is not announced any more")
        assert told(world, POLICY)["AutoSecurityUpdates"] is False, "the other slot knows it, too"


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.req("C07", "C08")
def test_consent_is_asked_for_and_postponements_are_counted_over_a_fallback_and_another_assignment(
    tmp_path: Path,
) -> None:
    with stage(tmp_path, bus=True, overrides={"policy.approval": "ask-install"}) as world:
        world.wait_for(world.properties, 30, "the daemon is on the bus")
        published = world.publish("1.1.0", sick="it does not work", cra=CRITICAL)
        first = world.deploy(published)
        waits(world, "consent")
        assert (say(world, "postpone", "2h"), say(world, "postpone", "4d")) == (0, 1)
        waits(world, "consent", "postponed")
        assert (notice(world)["defers-used"], notice(world)["defers-left"]) == (1, 2)
        assert say(world, "install-now") == 0
        assert world.wait_ended(first) == "ERROR"
        assert [boot.version for boot in world.board.boots] == ["1.0.0", "1.1.0", "1.0.0"]

        world.wait_idle()
        world.deploy(published)
        waits(world, "consent")
        assert notice(world)["defers-used"] == 1, "the same bundle cannot be postponed anew"


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.req("C04")
def test_a_window_and_a_busy_file_are_waited_for_and_the_writing_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    busy = tmp_path / "busy"
    busy.touch()
    another_day = DAYS[(time.gmtime().tm_wday + 3) % 7]
    overrides = {
        "policy.windows": [f"{another_day} 12:00-12:01"], "policy.time-zone": "UTC", "policy.busy-file": str(busy),
    }  # fmt: skip
    with stage(tmp_path, size=24, bus=True, overrides=overrides) as world:
        world.wait_for(world.properties, 30, "the daemon is on the bus")
        published = world.publish("1.1.0", cra=CRITICAL)
        action = world.deploy(published)
        waits(world, "window", "busy")
        world.wait_for(lambda: "waiting for the maintenance window" in world.messages(action), 30, "the server knows")
        assert (say(world, "policy", "set", "windows", "whenever"), say(world, "policy", "set", "windows")) == (1, 0)
        waits(world, "busy")
        world.server.faults.throttle(published.size // 6)
        busy.unlink()
        world.wait_for(lambda: world.state == "staging" and world.checkpoint > 0, 60, "a first checkpoint")
        busy.touch()
        assert say(world, "policy", "set", "approval", "auto") == 0, "whatever changes is looked at at once"
        waits(world, "busy")
        assert (world.state, world.checkpoint > 0) == ("waiting", True)
        world.server.faults.clear()
        busy.unlink()
        assert world.wait_ended(action) == "FINISHED"
        assert world.sent(published) < 1.7 * published.size, "it went on where it was"
