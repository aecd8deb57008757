"""Clients made for RAUC in front of a real device: Debian's ``rauc``, beside its own service, and what the updater calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gi.repository import GLib
from support.bus import main_loop
from support.ddi import TOKEN
from support.ddi import Device as Controller
from support.facade import Client, facade_on
from support.rauc_bus import rauc_at, rauc_service, start_rauc_at
from support.shelf import Shelf, trust
from support.updater import Updater

from agent.demo.factory import COMPATIBLE, Timing
from agent.demo.server import DevServer
from agent.demo.world import World

# No server of its own: as beside rauc-hawkbit-updater, which restarts the device, too.
ALONE: dict[str, object] = {
    "server.url": "", "server.controller-id": "", "server.target-token-file": "", "server.ca-file": "",
    "update.reboot": False,
}  # fmt: skip
FORMATS = ("readable", "shell", "json", "json-pretty")

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


class Board:
    """A device with RAUC's interface."""

    def __init__(self, world: World, shelf: Shelf) -> None:
        self.world = world
        self.shelf = shelf
        self._versions = iter(range(2, 100))

    def bundle(self, **how: Any) -> Path:
        return self.shelf.bundle(f"{next(self._versions)}.0.0", **how)

    def installs(self, path: Path) -> tuple[int, list[str]]:
        """The status of ``rauc install``, and its lines."""
        rauc = start_rauc_at(self.world.bus, "install", path)
        self.world.wait_for(lambda: rauc.poll() is not None, 60, "rauc install ends")
        return rauc.returncode, [line.strip() for line in rauc.communicate()[0].splitlines()]

    def restart(self) -> None:
        """The restart that somebody else has to make, and the trial of what boots then."""
        self.world.board.power_cut()
        self.world.board.power_on()
        self.rest()

    def rest(self) -> None:
        self.world.wait_settled()
        self.world.wait_for(lambda: self.world.properties().get("State") == "idle", 20, "the device answers on its bus")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    home = tmp_path_factory.mktemp("clients")
    world = trust(World(home / "world", size=8, timing=Timing(deadline=3, soak=0.1), bus=True, overrides=ALONE))
    with world, facade_on(world.bus, world.board.config):
        yield Board(world, Shelf(tmp_path_factory.mktemp("shelf")))


@pytest.fixture(autouse=True)
def _at_rest(board: Board) -> None:
    if board.world.state == "rebooting":  # a test before has failed
        board.restart()
    board.rest()


@pytest.mark.req("S01")
def test_rauc_installs_a_bundle_that_is_chosen_for_the_next_boot_and_proves_itself_there(board: Board) -> None:
    world, target = board.world, board.world.other
    status, lines = board.installs(board.bundle())
    assert (status, lines[0]) == (0, "installing"), lines
    assert any(line.startswith("Installing `") and line.endswith("succeeded") for line in lines)
    assert [line for line in lines if line.startswith(("0%", "100%"))] == ["0% Installing", "100% Installing done."]
    assert (world.state, world.environment()["BOOT_ORDER"].split()[0]) == ("rebooting", target)
    board.restart()
    assert (world.running.bootname, world.properties()["LastResult"][0]) == (target, "success")  # type: ignore[index]


@pytest.mark.req("S04", "S05")
def test_rauc_says_why_a_bundle_was_refused_and_what_to_do(board: Board) -> None:
    before = board.world.environment()
    status, lines = board.installs(board.bundle(signer="evil"))
    assert status == 1
    (problem,) = [line for line in lines if line.startswith("LastError: ")]
    assert "[bundle.signature-untrusted]; next: " in problem
    assert board.world.environment() == before
    board.rest()
    with main_loop():
        client = Client(board.world.bus)
        assert client.properties()["LastError"] == problem.removeprefix("LastError: ")
        client.close()


@pytest.mark.req("C44")
def test_rauc_prints_the_same_status_as_with_its_own_service(board: Board, tmp_path: Path) -> None:
    """On the same slots and boot environment; what RAUC has written to its status file is what we know of the slots."""
    world = board.world
    board.installs(board.bundle())
    board.restart()
    status = tmp_path / "rauc" / "rauc.status"
    status.parent.mkdir()
    known = json.loads(rauc_at(world.bus, "status", "--detailed", "--output-format=json").stdout)
    status.write_text(keyfile(known))
    place = {"compatible": COMPATIBLE, "keyring": world.keys["vendor"].root, "booted": world.running.bootname}
    with rauc_service(status.parent, world.board.slots, world.directory / "fw_env.config", **place) as theirs:
        for detailed in ([], ["--detailed"]):
            for form in FORMATS:
                asked = ("status", *detailed, f"--output-format={form}")
                ours, rauc = rauc_at(world.bus, *asked), rauc_at(theirs, *asked)
                assert (ours.returncode, ours.stderr) == (rauc.returncode, rauc.stderr) == (0, "")
                assert ours.stdout == rauc.stdout
        with main_loop():
            here, there = Client(world.bus), Client(theirs)
            assert kinds(here) == kinds(there)
            here.close()
            there.close()


def keyfile(known: Any) -> str:
    """What ``rauc status`` has printed, as RAUC's central status file."""
    lines = []
    for slot in known["slots"]:
        for name, facts in slot.items():
            lines.append(f"[slot.{name}]")
            for group, value in facts["slot_status"].items():
                pairs = value if isinstance(value, dict) else {"": value}
                prefix = "" if group in ("status", "checksum") else f"{group}."
                lines += [f"{prefix}{key or group}={text}" for key, text in pairs.items() if text is not None]
    return "\n".join(lines) + "\n"


def kinds(client: Client) -> dict[str, dict[str, str]]:
    """The types of what GetSlotStatus returns; RAUC 1.8 does not know the later keys yet."""
    slots = client.variant("GetSlotStatus").get_child_value(0)
    found = {}
    for index in range(slots.n_children()):
        name, facts = slots.get_child_value(index).get_child_value(0), slots.get_child_value(index).get_child_value(1)
        pairs = [facts.get_child_value(each) for each in range(facts.n_children())]
        found[name.get_string()] = {
            pair.get_child_value(0).get_string(): pair.get_child_value(1).get_variant().get_type_string()
            for pair in pairs
        }
    for facts in found.values():
        for later in ("bundle.hash", "installed.transaction"):
            facts.pop(later, None)
    return found


def test_rauc_marks_slots_in_its_own_words(board: Board) -> None:
    world = board.world
    board.installs(board.bundle())
    board.restart()
    running, other = (f"rootfs.{'AB'.index(name)}" for name in (world.running.bootname, world.other))
    for words, said in (
        (("mark-active", "other"), f"rauc status: activated slot {other}"),
        (("mark-active", "booted"), f"rauc status: activated slot {running}"),
        (("mark-good",), f"rauc status: marked slot {running} as good"),
        (("mark-bad", other), f"rauc status: marked slot {other} as bad"),
    ):
        done = rauc_at(world.bus, "status", *words)
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, said, "")
        if words[0] == "mark-active":
            seen = json.loads(rauc_at(world.bus, "status", "--output-format=json").stdout)
            assert seen["boot_primary"] == said.rpartition(" ")[2]
    done = rauc_at(world.bus, "status", "mark-bad")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"rauc mark: Failed marking slot {running} as bad: the device might not boot any more"
    )
    done = rauc_at(world.bus, "status", "mark-good", "nothing")
    assert (done.returncode, done.stderr.strip()) == (1, "rauc mark: Invalid slot name format: 'nothing'")


@pytest.mark.req("S04")
def test_only_the_manifest_that_was_asked_for_is_installed_and_its_name_is_shown(board: Board) -> None:
    world, bundle = board.world, board.bundle()
    with main_loop():
        client = Client(world.bus)
        digest = client.call("InspectBundle", "sa{sv}", str(bundle), {})[0]["manifest-hash"]

        def install(wanted: str) -> int:
            client.heard.clear()
            options = {"require-manifest-hash": GLib.Variant("s", wanted), "transaction-id": GLib.Variant("s", "t-7")}
            client.call("InstallBundle", "sa{sv}", str(bundle), options)
            world.wait_for(lambda: ("property", {"Operation": "idle"}) in client.heard, 30, "the installation ends")
            return int(dict(client.heard)["Completed"])

        assert install("ab" * 32) == 1
        assert "[install.manifest-hash]" in client.properties()["LastError"]
        board.rest()
        assert install(digest) == 0
        target = f"rootfs.{'AB'.index(world.other)}"
        assert dict(client.call("GetSlotStatus")[0])[target]["installed.transaction"] == "t-7"
        client.close()
    board.restart()


@pytest.mark.req("S01")
def test_the_updater_brings_a_whole_update_from_the_server_and_tells_it(board: Board, tmp_path: Path) -> None:
    world, server = board.world, DevServer()
    server.add_target("updater", TOKEN)
    server.start()
    try:
        action = server.assign("updater", server.upload(board.bundle(), version="9"))
        updater = Updater(Controller(server, "updater"), world.bus, tmp_path / "bundle.raucb")
        thread = threading.Thread(target=updater.run)
        thread.start()
        world.wait_for(lambda: not thread.is_alive(), 60, "the updater has ended")
        assert (updater.result, server.action_status(action)) == (0, "FINISHED")
        assert updater.told[1:3] == ["installing", "  0% Installing"]
        assert "100% Installing done." in updater.told[-2:], "what follows may come too late"
        assert len(updater.told) < 110, "hawkBit takes 1000 feedbacks of an action"
        assert world.state == "rebooting"

        refused = server.assign("updater", server.upload(board.bundle(signer="evil"), version="10"))
        board.restart()
        updater = Updater(Controller(server, "updater"), world.bus, tmp_path / "bundle.raucb")
        thread = threading.Thread(target=updater.run)
        thread.start()
        world.wait_for(lambda: not thread.is_alive(), 60, "the updater has ended")
        assert (updater.result, server.action_status(refused)) == (1, "ERROR")
        assert any(line.startswith("LastError: ") and "[bundle.signature-untrusted]" in line for line in updater.told)
    finally:
        server.stop()
