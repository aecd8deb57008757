"""Updates from a stick: plugged in, pulled, plugged in again, full of rubbish; with the kernel's own events. Needs root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gi.repository import Gio, GLib
from support.bus import connect
from support.shelf import Shelf, trust
from support.stick import Stick, image_with, stick

from agent.demo.factory import Timing
from agent.demo.world import World


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def usb() -> Iterator[Stick]:
    with stick() as made:
        yield made


@contextmanager
def device(home: Path, usb: Stick, install: str = "auto", **more: object) -> Iterator[World]:
    """A device that looks at this stick, and whose server is away."""
    settings: dict[str, object] = {
        "media.install": install, "media.devices": [f"{usb.node}*"], "media.filesystems": ["ext4", "squashfs"], **more,
    }  # fmt: skip
    world = World(home / "world", size=24, timing=Timing(deadline=3), bus=True, overrides=settings)
    with trust(world):
        world.server.faults.respond(503, times=10_000, path=".")
        world.wait_settled()
        yield world


def rows(world: World) -> list[tuple[str, str, str, str]]:
    """Manager.Media."""
    found: Any = world.properties().get("Media", [])
    return list(found)


def states(world: World) -> Mapping[str, str]:
    """What is said of each file, once all of them have been looked at."""
    return {path: state for _, path, state, _ in rows(world)}


def call(world: World, method: str, *arguments: str) -> None:
    connection = connect(world.bus)
    names = ("org.otaagent.Agent1", "/org/otaagent/Agent1", "org.otaagent.Agent1.Manager")
    values = GLib.Variant(f"({'s' * len(arguments)})", arguments)
    try:
        connection.call_sync(*names, method, values, None, Gio.DBusCallFlags.NONE, 5000, None)
    finally:
        connection.close_sync(None)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_stick_is_installed_once_and_its_version_not_again(tmp_path: Path, shelf: Shelf, usb: Stick) -> None:
    files = {"old.raucb": shelf.bundle("1.1.0"), "updates/new.raucb": shelf.bundle("1.2.0")}
    image = image_with(tmp_path / "stick.img", files)
    with device(tmp_path, usb) as world:
        usb.plug(image)
        world.wait_for(lambda: world.running.version == "1.2.0", 40, "the newest version of the stick boots")
        world.wait_settled()
        world.wait_for(lambda: set(states(world).values()) == {"present"}, 20, "the stick was looked at again")
        assert len(world.board.boots) == 2
        usb.pull()
        world.wait_for(lambda: rows(world) == [], 20, "the stick is gone")
