"""Updates from a stick: plugged in, pulled, plugged in again, full of rubbish; with the kernel's own events. Needs root."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.disks import run
from support.filesystems import sized
from support.shelf import Shelf, half_written, trust
from support.stick import MIB, Stick, image_of, image_with, stick

import agent
from agent.demo.factory import CONTROLLER, Timing
from agent.demo.world import World, sha256

ENTRY = Path(agent.__file__).with_name("__main__.py")
pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.req("S32", "T23")]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def usb() -> Iterator[Stick]:
    with stick() as made:
        yield made


@contextmanager
def device(home: Path, usb: Stick, install: str, size: int = 8, **more: object) -> Iterator[World]:
    """A device that looks at this stick, and whose server is away."""
    settings: dict[str, object] = {
        "media.install": install, "media.devices": [f"{usb.node}*"], "media.filesystems": ["ext4", "squashfs"], **more,
    }  # fmt: skip
    with trust(World(home / "world", size=size, timing=Timing(deadline=3), bus=True, overrides=settings)) as world:
        world.server.faults.respond(503, times=10_000, path=".")
        world.wait_settled()
        yield world


def rows(world: World) -> list[tuple[str, str, str, str]]:
    """Manager.Media."""
    found: Any = world.properties().get("Media", [])
    return list(found)


def states(world: World) -> Mapping[str, str]:
    """What is said of each file."""
    return {path: state for _, path, state, _ in rows(world)}


def until(world: World, wanted: Mapping[str, str]) -> None:
    """Waits until exactly this is said."""
    world.wait_for(lambda: states(world) == wanted, 30, f"{wanted}")


def say(world: World, *command: str) -> None:
    """Says something with ``ota-agent``."""
    environment = {**os.environ, "OTA_AGENT_BUS": world.bus}
    done = subprocess.run(
        [sys.executable, "-I", ENTRY, *command],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def rubbish(tree: Path, shelf: Shelf) -> Path:
    """What a stranger's stick may hold, and what happens to lie on one."""
    tree.mkdir()
    os.mkfifo(tree / "pipe.raucb")
    os.mknod(tree / "memory.raucb", 0o666 | 0o060000, os.makedev(1, 1))
    (tree / "loop").symlink_to(".")
    (tree / "out.raucb").symlink_to(shelf.bundle("1.9.0", image=shelf.image("1.1.0")))
    (tree / "etc").symlink_to("/etc")
    sized(tree / "huge.raucb", 1024 * MIB)
    (tree / "line\nbreak.raucb").write_bytes(b"x")
    (tree / os.fsdecode(b"no-text-\xff.raucb")).write_bytes(b"x")
    (tree / "._new.raucb").write_bytes(b"x")
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/deep.raucb").write_bytes(b"x")
    (tree / "A/").mkdir()
    evil = shelf.bundle("2.0.0", image=shelf.image("1.1.0"), signer="evil", name="evil.raucb")
    (tree / "A/EVIL.RAUCB").write_bytes(evil.read_bytes())
    (tree / "old.raucb").write_bytes(shelf.bundle("0.9.0", image=shelf.image("1.1.0")).read_bytes())
    return tree


@pytest.mark.timeout(120)
def test_rubbish_on_a_stick_begins_nothing_and_a_sick_system_no_endless_loop(
    tmp_path: Path, shelf: Shelf, usb: Stick
) -> None:
    with device(tmp_path, usb, "auto") as world:
        usb.plug(image_of(tmp_path / "rubbish.img", rubbish(tmp_path / "rubbish", shelf)))
        until(world, {"A/EVIL.RAUCB": "refused", "huge.raucb": "refused", "old.raucb": "present"})
        told = {path: text for _, path, _, text in rows(world)}
        assert "bundle.signature-untrusted" in told["A/EVIL.RAUCB"]
        assert "bundle.unsigned" in told["huge.raucb"]
        usb.pull()
        until(world, {})
        assert (world.board.record(), len(world.board.boots)) == ({}, 1), "nothing has ever begun"

        sick = shelf.bundle("1.3.0", image=shelf.image("1.3.0", sick="the valve does not open"))
        good = shelf.bundle("1.1.0")
        disk = partitioned(tmp_path / "disk.img", {"sick.raucb": sick, "older.raucb": good})
        usb.plug(disk, partitions=True)
        world.wait_for(lambda: world.running.version == "1.3.0", 40, "the newest version boots")
        world.wait_for(lambda: world.running.version == "1.0.0", 40, "it is sick, and the old one boots")
        world.wait_settled()
        until(world, {"sick.raucb": "tried", "older.raucb": "outdone"})
        assert {node for node, *_ in rows(world)} == {f"{usb.node}p1"}
        assert len(world.board.boots) == 3


def partitioned(disk: Path, files: Mapping[str, Path]) -> Path:
    """A disk with one partition that holds these files."""
    inner = image_with(disk.with_suffix(".ext4"), files)
    size = inner.stat().st_size // MIB + 1
    sized(disk, (size + 2) * MIB)
    run("sfdisk", "--quiet", disk, text=f"label: dos\nstart=1MiB, size={size}MiB, type=83\n")
    with disk.open("r+b") as file:
        file.seek(MIB)
        file.write(inner.read_bytes())
    return disk


@pytest.mark.timeout(120)
def test_a_stick_pulled_while_it_is_written_is_waited_for_and_gone_on_with(tmp_path: Path, usb: Stick) -> None:
    shelf = Shelf(tmp_path / "shelf", size=24)
    shelf.directory.mkdir()
    image = image_with(tmp_path / "stick.img", {"new.raucb": shelf.bundle("1.1.0")})
    with device(tmp_path, usb, "auto", size=24, **{"media.wait": 60}) as world:
        usb.plug(image)
        installer = world.wait_for(lambda: _stopped_in_the_middle(world), 40, "8 MiB of the image are written")
        at = world.checkpoint
        assert at >= 8 * MIB
        os.kill(installer, signal.SIGKILL)  # else it goes on with what it has read ahead
        usb.pull()
        world.wait_for(lambda: "waiting" in states(world).values(), 30, "the stick is waited for")
        assert world.properties()["LastError"][0] == "media.unplugged"  # type: ignore[index]  # a tuple
        assert (world.state, world.checkpoint >= at, half_written(world)) == ("staging", True, True)
        usb.plug(image)
        world.wait_for(lambda: world.running.version == "1.1.0", 40, "the update goes on")
        world.wait_settled()
        until(world, {"new.raucb": "present"})
        assert len(world.board.boots) == 2, "it is installed once"
        assert world.slot_sha256(world.running.bootname, 24 * MIB) == sha256(shelf.image("1.1.0"))
        log = world.board.log.with_name("boot-1.log").read_text()
        done = re.search(r"holds 1.1.0: ([0-9.]+) (\w+) written, ([0-9.]+) (\w+) were there already", log)
        assert done
        touched = sum(
            float(size) * {"B": 1, "KiB": 1024, "MiB": MIB}[unit] for size, unit in (done.group(1, 2), done.group(3, 4))
        )
        assert touched <= 24 * MIB - at, "what was before the checkpoint was not touched again"


def _stopped_in_the_middle(world: World) -> int:
    """The process of the installer, stopped when something can be gone on with."""
    pid, _ = world.board.written()
    if not pid or world.checkpoint < 8 * MIB:
        return 0
    os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.mark.timeout(120)
@pytest.mark.req("C04")
def test_somebody_is_asked_and_the_server_hears_of_it_later(tmp_path: Path, shelf: Shelf, usb: Stick) -> None:
    first = image_with(tmp_path / "first.img", {"a.raucb": shelf.bundle("1.1.0", name="a.raucb")}, "squashfs")
    usb.plug(first)  # it is in when the device starts
    with device(tmp_path, usb, "ask", **{"server.report-installed": "demo-board"}) as world:
        until(world, {"a.raucb": "asks"})
        offer: Any = world.properties()["Offer"]
        assert (offer["version"], offer["consent"]) == ("1.1.0", "wanted")
        usb.pull()
        until(world, {})
        assert world.properties()["Offer"] == {}

        usb.plug(first)
        until(world, {"a.raucb": "asks"})
        polled = len(world.server.seen)
        say(world, "deny", "--reason", "not today")
        until(world, {"a.raucb": "denied"})
        world.wait_for(lambda: len(world.server.seen) > polled, 20, "the server is asked as before")

        usb.pull()
        until(world, {})
        usb.plug(first)
        until(world, {"a.raucb": "asks"})
        say(world, "approve")
        world.wait_for(lambda: world.running.version == "1.1.0", 40, "what was approved boots")
        world.wait_settled()
        until(world, {"a.raucb": "present"})
        assert world.board.document("installed") == {"name": "demo-board", "version": "1.1.0"}

        world.server.faults.clear()
        target = world.server.target(CONTROLLER)
        world.wait_for(lambda: target.attributes.get("version") == "1.1.0", 30, "the server hears what runs")
        world.wait_for(lambda: world.board.document("installed") == {}, 30, "and which set that is")
        assert [each.method for each in world.server.requests("/installedBase")][-1] == "PUT"
