"""Slots of other types than raw through the whole chain, and media that fail: the running slot boots, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.disks import loop, mounted, run
from support.faults import failing
from support.handling import MIB, archive, entry
from support.shelf import Shelf, half_written, offer, trust

from agent.codes import number
from agent.demo.images import read_file
from agent.demo.world import World

pytestmark = pytest.mark.root
VERSION = "2.0.0"


@dataclass
class Device:
    """A device whose slots are ext4 on block devices; the node of the empty one can be led elsewhere."""

    world: World
    shelf: Shelf
    directory: Path

    def lead(self, node: str | Path) -> None:
        """Makes the device of slot B another one."""
        (self.directory / "node-b").unlink()
        (self.directory / "node-b").symlink_to(node)

    def archive(self) -> bytes:
        """The root file system of the new version as an archive."""
        with loop(self.shelf.image(VERSION)) as node, mounted(node, self.directory / "mnt", "-o", "ro"):
            out = self.directory / "rootfs.tar.xz"
            run("tar", "-cJf", out, "--exclude=./lost+found", "-C", self.directory / "mnt", ".")
        return out.read_bytes()

    def offer(self, image: bytes | None = None, kind: str = "ext4") -> str:
        """A bundle with the new version; returns the action's id."""
        name = f"{len(list(self.shelf.directory.glob('*.raucb')))}.raucb"
        return offer(self.world, self.shelf.bundle(VERSION, image=image, image_type=kind, name=name))

    def condition(self) -> object:
        """All that a refusal may not change."""
        slots = [self.world.slot_sha256(name) for name in self.world.board.slots]
        return slots, dict(self.world.environment()), len(self.world.board.boots)

    def ended(self, action_id: str, code: str) -> None:
        """The server was told, and the running slot is the one to boot."""
        assert self.world.wait_ended(action_id) == "ERROR", self.world.messages(action_id)
        self.world.wait_settled()
        assert self.world.history(action_id)[-1].code == number(code), self.world.messages(action_id)
        assert self.world.running.bootname == "A"
        environment = self.world.environment()
        assert (environment["BOOT_ORDER"].split()[0], environment["BOOT_A_LEFT"]) == ("A", "3")

    def updated(self, action_id: str) -> None:
        """The new version runs and is confirmed."""
        assert self.world.wait_ended(action_id) == "FINISHED", self.world.messages(action_id)
        assert (self.world.running.bootname, self.world.running.version) == ("B", VERSION)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    overrides: dict[str, object] = {"update.attempts": 2, "update.retry-delay": 0.05}
    for index, name in enumerate("ab"):
        node = {"device": str(tmp_path / f"node-{name}"), "type": "ext4", "resize": True}
        overrides |= {f"slot.rootfs.{index}.{key}": value for key, value in node.items()}
    world = trust(World(tmp_path / "world", size=8, overrides=overrides))
    with ExitStack() as stack:
        for name, path in world.board.slots.items():
            (tmp_path / f"node-{name.lower()}").symlink_to(stack.enter_context(loop(path)))
        with world:
            world.wait_settled()
            yield Device(world, Shelf(tmp_path / "shelf"), tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.req("S01", "S02")
def test_a_device_is_updated_by_an_archive(device: Device) -> None:
    device.updated(device.offer(device.archive(), "tar"))
    slot = device.world.board.slots["B"]
    assert read_file(slot, "/etc/os-release") == read_file(device.shelf.image(VERSION), "/etc/os-release")


@pytest.mark.timeout(120)
@pytest.mark.req("S01", "S02")
def test_a_device_is_updated_by_an_image_that_grows(device: Device) -> None:
    device.updated(device.offer())
    slot = device.world.board.slots["B"]
    found = dict(line.split(":", 1) for line in run("dumpe2fs", "-h", slot).splitlines() if ":" in line)
    assert int(found["Block count"]) * int(found["Block size"]) == slot.stat().st_size > 8 * MIB


@pytest.mark.timeout(120)
@pytest.mark.req("S04", "T05")
def test_what_cannot_be_installed_is_refused_before_anything_is_touched(device: Device, tmp_path: Path) -> None:
    """One device, one refusal after the other; then it takes a good update."""
    good = (tmp_path / "node-b").readlink()
    before = device.condition()
    device.ended(device.offer(kind="squashfs"), "slot.image-type")
    device.ended(device.offer(bytes(13 * MIB), "tar"), "slot.too-small")
    device.lead(tmp_path / "nowhere")
    device.ended(device.offer(), "slot.missing")
    device.lead(good)
    assert device.condition() == before
    run("mkfs.ext4", "-q", "-F", good)
    with mounted(str(good), tmp_path / "in-use", "-o", "ro"):
        before = device.condition()
        device.ended(device.offer(), "slot.mounted")
    assert device.condition() == before
    device.updated(device.offer())


def bad_at(directory: Path, offset: int, io: str) -> AbstractContextManager[str]:
    directory.mkdir()
    return failing(directory, 12 * MIB, offset=offset, io=io)


@pytest.mark.timeout(180)
@pytest.mark.req("S08", "C11")
def test_a_medium_that_fails_costs_the_update_and_nothing_else(device: Device, tmp_path: Path) -> None:
    good = (tmp_path / "node-b").readlink()
    for io, code in (("write", "slot.write-failed"), ("read", "slot.read-failed")):
        with bad_at(tmp_path / io, 5 * MIB, io) as bad:
            device.lead(bad)
            device.ended(device.offer(), code)
        assert half_written(device.world)
    device.lead(good)
    too_much = archive((entry("zeros"), bytes(12 * MIB - 100_000)), mode="w:gz")
    device.ended(device.offer(too_much, "tar"), "slot.full")
    assert half_written(device.world)
    device.ended(device.offer(archive(entry("../etc")), "tar"), "slot.archive-refused")
    assert half_written(device.world)
    device.updated(device.offer(device.archive(), "tar"))
