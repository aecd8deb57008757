"""Updates from a file, and updates given up in the middle: over D-Bus and the command line, as a person would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gi.repository import Gio, GLib
from support.bus import connect
from support.shelf import Shelf, half_written, offer, trust

import agent
from agent.bus.calls import Bus
from agent.codes import number
from agent.daemon.dbus_names import AUDIT, BUS_NAME, OBJECT_PATH
from agent.demo.factory import Timing
from agent.demo.images import MIB
from agent.demo.server_faults import Fault
from agent.demo.world import World, sha256

ENTRY = Path(agent.__file__).with_name("__main__.py")
ENDS = ("FINISHED", "ERROR", "CANCELED")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("offline")
    with trust(World(home / "world", size=8, timing=Timing(deadline=3), bus=True)) as world:
        yield world


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(autouse=True)
def _settled(world: World) -> None:
    world.server.faults.clear()
    world.wait_settled()
    world.wait_for(lambda: world.properties().get("State") == "idle", 20, "the device answers on its bus")


def started(world: World, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", str(ENTRY), *map(str, arguments)]
    environment = {**os.environ, "OTA_AGENT_BUS": world.bus}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd="/"
    )


def cli(world: World, *arguments: object) -> tuple[int, Any]:
    """Runs a command with ``--json`` while the world goes on; returns the exit status and what it said."""
    process = started(world, *arguments, "--json")
    world.wait_for(lambda: process.poll() is not None, 60, f"ota-agent {arguments} ends")
    out, err = process.communicate()
    assert err == ""
    return process.returncode, json.loads(out)


def cut_off(world: World) -> None:
    """No server for anybody."""
    world.server.faults.respond(503, times=10_000, path=".")


def running(world: World) -> tuple[object, ...]:
    return (world.running, len(world.board.boots), world.slot_sha256(world.running.bootname))


def slowed(world: World, bundle: Path) -> str:
    """Deploys a bundle whose transfer takes long, and waits until it is being written."""
    world.server.faults.throttle(bundle.stat().st_size // 10)
    action_id = offer(world, bundle)
    world.wait_for(lambda: world.board.written()[0] and world.state == "staging", 30, "the bundle is being written")
    return action_id


@pytest.mark.timeout(60)
@pytest.mark.req("S01", "S02")
@pytest.mark.parametrize("kind", ["verity", "plain"])
def test_a_file_is_installed_and_confirmed_without_a_server(world: World, shelf: Shelf, kind: str) -> None:
    version, target = {"verity": "1.1.0", "plain": "1.2.0"}[kind], world.other
    cut_off(world)
    status, said = cli(world, "install", shelf.bundle(version, format=kind, name=f"{kind}.raucb"), "--wait")
    assert (status, said) == (0, {"state": "rebooting"})
    world.wait_for(lambda: world.running.version == version, 30, "the new system boots")
    world.wait_settled()
    assert world.slot_sha256(target, 8 * MIB) == sha256(shelf.image(version))
    environment = world.environment()
    assert environment["BOOT_ORDER"].split()[0] == world.running.bootname == target
    assert (environment[f"BOOT_{target}_LEFT"], environment.get("OTA_TRIAL")) == ("3", None)
    world.wait_for(lambda: world.properties().get("State") == "idle", 20, "the device answers on its bus")
    status, values = cli(world, "status")
    assert (status, values["CurrentVersion"], values["Slot"]) == (0, version, target)
    assert values["LastResult"] == ["success", version, "", ""]


@pytest.mark.timeout(60)
@pytest.mark.root
@pytest.mark.req("S01", "C09")
def test_a_file_that_only_the_caller_can_see_is_installed(world: World, shelf: Shelf, tmp_path: Path) -> None:
    bundle, there = shelf.bundle("1.2.5", name="hidden.raucb"), tmp_path / "there"
    there.mkdir()
    cut_off(world)
    # As with PrivateTmp= or a home of one's own: the daemon has no way to this path.
    command = f'mount -t tmpfs none {there} && cp {bundle} {there}/update.raucb && exec "$@" {there}/update.raucb'
    environment = {**os.environ, "OTA_AGENT_BUS": world.bus}
    process = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, "sh", sys.executable, "-I", str(ENTRY), "install"],
        env=environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert not (there / "update.raucb").exists()
    world.wait_for(lambda: world.running.version == "1.2.5", 30, "the new system boots")
    world.wait_settled()


@pytest.mark.timeout(60)
@pytest.mark.req("S03")
def test_an_update_from_an_open_file_goes_on_after_a_crash_or_ends_explained(world: World, shelf: Shelf) -> None:
    kept, gone = shelf.bundle("1.2.6"), shelf.bundle("1.2.7")
    before = world.running
    for path in (gone, kept):
        status, _ = cli(world, "install", path)
        assert status == 0
        world.wait_for(lambda: world.state not in ("", "idle"), 30, "it has begun")
        os.kill(world.board.daemon_pid, signal.SIGKILL)
        if path is gone:
            path.unlink()
            world.wait_idle()
            assert world.running == before
            assert world.board.document("ending")["code"] == "install.descriptor-lost"
            world.wait_for(lambda: world.properties().get("State") == "idle", 20, "the device answers on its bus")
    world.wait_for(lambda: world.running.version == "1.2.6", 30, "the file that is still there is gone on with")
    world.wait_settled()


@pytest.mark.timeout(60)
@pytest.mark.req("S07")
def test_a_file_with_a_sick_system_goes_back_and_says_why(world: World, shelf: Shelf) -> None:
    old = world.running
    sick = shelf.image("1.3.0", sick="the valve does not open")
    status, _ = cli(world, "install", shelf.bundle("1.3.0", image=sick), "--wait")
    assert status == 0
    world.wait_for(lambda: world.running.version == "1.3.0", 30, "the sick system boots")
    world.wait_for(lambda: world.running.version == old.version, 30, "the old system boots")
    world.wait_settled()
    _, values = cli(world, "status")
    assert values["LastResult"][:3] == ["failure", "1.3.0", "health.failed"]
    assert "the valve does not open" in str(world.board.document("ending")["details"])
    assert world.running.bootname == old.bootname


@pytest.mark.timeout(60)
@pytest.mark.req("S04", "S05")
def test_a_file_that_is_refused_is_refused_with_its_code(world: World, shelf: Shelf, tmp_path: Path) -> None:
    before = (running(world), world.environment())
    no_bundle = tmp_path / "photo.jpg"
    no_bundle.write_bytes(b"\xff\xd8" * 5000)
    for path, code in (
        (no_bundle, "bundle.trailer-invalid"),
        (shelf.bundle("9.0.0", image=shelf.image("1.1.0"), signer="evil"), "bundle.signature-untrusted"),
    ):
        status, said = cli(world, "install", path, "--wait")
        assert (status, said["error"]["code"]) == (1, code)
        assert said["error"]["resolution"]
        world.wait_settled()
        _, values = cli(world, "status")
        assert (values["LastError"][0], values["LastResult"][2]) == (code, code)
    assert (running(world), world.environment()) == before


def called(world: World, method: str, arguments: GLib.Variant | None = None) -> str:
    """Calls the daemon as another program would; returns the name of the D-Bus error."""
    connection = connect(world.bus)
    names = ("org.otaagent.Agent1", "/org/otaagent/Agent1", "org.otaagent.Agent1.Manager")
    try:
        connection.call_sync(*names, method, arguments, None, Gio.DBusCallFlags.NONE, 5000, None)
    except GLib.Error as error:
        return f"{Gio.DBusError.get_remote_error(error)} {error.message}"
    finally:
        connection.close_sync(None)
    return ""


@pytest.mark.timeout(60)
def test_what_makes_no_sense_is_answered_with_code_and_exit_status(world: World, tmp_path: Path) -> None:
    status, said = cli(world, "install", tmp_path / "nothing.raucb")
    assert (status, said["error"]["code"]) == (1, "bundle.not-found")
    status, said = cli(world, "install", tmp_path)
    assert (status, said["error"]["code"]) == (1, "bundle.not-found")
    status, said = cli(world, "cancel")
    assert (status, said["error"]["code"]) == (3, "update.none")
    assert "install.path" in called(world, "Install", GLib.Variant("(s)", ("relative.raucb",)))
    assert "bundle.not-found" in called(world, "Install", GLib.Variant("(s)", ("/no/such.raucb",)))
    assert "update.not-cancellable" in called(world, "Cancel")
    assert cli(world, "mark", "bad", "other") == (0, {"accepted": True})
    status, said = cli(world, "mark", "bad")
    assert (status, said["error"]["code"]) == (1, "mark.dangerous"), "it is the only one that boots"
    assert cli(world, "mark", "good") == (0, {"accepted": True})
    bus = Bus(world.bus)
    (records,) = bus.call(BUS_NAME, OBJECT_PATH, AUDIT, "Tail", "u", 9)
    assert any("Manager.Mark" in record for record in records), "who has given the command stands in the audit log"
    assert bus.call(BUS_NAME, OBJECT_PATH, AUDIT, "Verify") == (True, 0)
    assert len(bus.get(BUS_NAME, OBJECT_PATH, AUDIT, "Head")) == 32
    bus.close()
    done = started(world, "status", "--bus", f"unix:path={tmp_path}/no-bus")
    assert "daemon.unreachable" in done.communicate(timeout=30)[1]
    assert done.returncode == 4


@pytest.mark.timeout(90)
@pytest.mark.req("S01")
def test_the_server_takes_an_update_back_while_it_is_written(world: World, shelf: Shelf) -> None:
    before = running(world)
    bundle = shelf.bundle("1.4.0")
    action_id = slowed(world, bundle)
    world.server.cancel(action_id)
    assert world.wait_ended(action_id, 30) == "CANCELED"
    world.server.faults.clear()
    world.wait_settled()
    history = world.history(action_id)
    assert [entry.type for entry in history if entry.type in ENDS] == ["CANCELED"]
    assert running(world) == before
    assert half_written(world)
    assert world.board.document("ending")["outcome"] == "cancelled"

    assert world.wait_ended(offer(world, bundle)) == "FINISHED"
    assert world.running.version == "1.4.0"


@pytest.mark.timeout(90)
@pytest.mark.req("S01")
def test_a_person_gives_an_update_up_while_it_is_written(world: World, shelf: Shelf) -> None:
    before = running(world)
    bundle = shelf.bundle("1.5.0")
    action_id = slowed(world, bundle)
    status, said = cli(world, "install", bundle)
    assert (status, said["error"]["code"]) == (1, "update.busy")
    assert cli(world, "cancel") == (0, {"accepted": True})
    assert world.wait_ended(action_id, 30) == "ERROR"
    world.server.faults.clear()
    world.wait_settled()
    last = [entry for entry in world.history(action_id) if entry.type in ENDS]
    assert len(last) == 1
    assert last[0].messages[0].startswith("[update.cancelled] ")
    assert last[0].code == number("update.cancelled")
    assert running(world) == before
    assert half_written(world)
    _, values = cli(world, "status")
    assert (values["State"], values["LastResult"][0], values["LastResult"][2]) == (
        "idle", "cancelled", "update.cancelled",
    )  # fmt: skip

    assert world.wait_ended(offer(world, bundle)) == "FINISHED"
    assert world.running.version == "1.5.0"


@pytest.mark.timeout(60)
@pytest.mark.req("S01")
def test_an_update_taken_back_before_it_was_looked_at_is_cancelled_not_failed(world: World, shelf: Shelf) -> None:
    before = (running(world), world.environment())
    world.server.faults.add(Fault("deploymentBase", method="GET", delay=1.0))
    action_id = offer(world, shelf.bundle("1.6.0", image=shelf.image("1.1.0")))
    world.wait_for(lambda: world.state == "offered", 30, "the device reads the deployment")
    world.server.cancel(action_id)
    assert world.wait_ended(action_id, 30) == "CANCELED", world.messages(action_id)
    world.wait_settled()
    assert (running(world), world.environment()) == before
