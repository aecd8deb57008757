"""Bundles with programs of their own through the whole chain: server, daemon, installer, hooks, boot, health, report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.disks import loop
from support.shelf import Shelf, half_written, offer, trust

from agent.codes import number
from agent.demo.images import read_file
from agent.demo.world import World

pytestmark = pytest.mark.root
# A hook in the middle of the image's group, then the program that both kinds of hook are.
WANTS = "hooks=post-install\n\n[hooks]\nfilename=program\nhooks=install-check\n"
POST = 'slot-post-install) echo "from $RAUC_SYSTEM_VERSION" > "$RAUC_SLOT_MOUNT_POINT/etc/migrated";;'


@dataclass
class Device:
    """A device that lets bundles run programs; a hook may leave traces in ``directory``."""

    world: World
    shelf: Shelf
    directory: Path

    def bundle(self, version: str, check: str, post: str = POST, **how: object) -> Path:
        program = f'case "$1" in install-check) {check};;\n{post}\n*) exit 99;; esac\n'
        return self.shelf.bundle(version, extra=WANTS, program=program, **how)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """Its slots are block devices, because a file cannot be mounted."""
    nodes = {"A": tmp_path / "node-a", "B": tmp_path / "node-b"}
    overrides: dict[str, object] = {"bundle.allow-hooks": True, "bundle.hook-timeout": 30, "update.attempts": 3}
    for index, node in enumerate(nodes.values()):
        overrides |= {f"slot.rootfs.{index}.device": str(node), f"slot.rootfs.{index}.type": "ext4"}
    world = trust(World(tmp_path / "world", size=8, overrides=overrides))
    with ExitStack() as stack:
        for name, path in world.board.slots.items():
            nodes[name].symlink_to(stack.enter_context(loop(path)))
        with world:
            world.wait_settled()
            yield Device(world, Shelf(tmp_path / "shelf"), tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.req("S01", "S02")
def test_a_hook_speaks_for_the_bundle_and_another_changes_the_new_system_before_it_boots(device: Device) -> None:
    world = device.world
    check = 'test "$RAUC_MF_COMPATIBLE" = toaster && echo "fits $RAUC_SYSTEM_COMPATIBLE"'
    bundle = device.bundle("2.0.0", check, compatible="toaster")
    log = world.board.log
    assert world.wait_ended(offer(world, bundle)) == "FINISHED"
    world.wait_settled()
    assert (world.running.bootname, world.running.version) == ("B", "2.0.0")
    assert read_file(world.board.slots["B"], "/etc/migrated") == b"from 1.0.0\n"
    text = log.read_text()
    assert "install-check: fits ota-demo-board" in text
    assert "rootfs.1 was changed by a program of the bundle: post-install" in text
    assert not (world.directory / "state" / "hooks").exists()


@pytest.mark.timeout(120)
@pytest.mark.req("S04")
def test_what_a_check_rejects_is_not_installed_and_the_server_hears_its_reason(device: Device) -> None:
    world = device.world
    before = [world.slot_sha256(name) for name in world.board.slots], dict(world.environment())
    action_id = offer(world, device.bundle("2.0.0", "echo 'this board has no speaker' >&2; exit 10"))
    assert world.wait_ended(action_id) == "ERROR"
    world.wait_settled()
    last = world.history(action_id)[-1]
    assert (last.code, last.messages[0].startswith("[hook.rejected] ")) == (number("hook.rejected"), True)
    assert "this board has no speaker" in world.messages(action_id)
    assert ([world.slot_sha256(name) for name in world.board.slots], dict(world.environment())) == before


@pytest.mark.timeout(120)
@pytest.mark.req("T01", "S06")
def test_nothing_of_a_bundle_runs_that_is_too_old(device: Device) -> None:
    trace = device.directory / "ran"
    action_id = offer(device.world, device.bundle("0.9.0", f"touch {trace}"))
    assert device.world.wait_ended(action_id) == "ERROR"
    device.world.wait_settled()
    assert device.world.history(action_id)[-1].code == number("policy.older")
    assert not trace.exists()


@pytest.mark.timeout(120)
@pytest.mark.req("S08")
def test_a_power_cut_in_a_hook_starts_the_image_over(device: Device) -> None:
    world, trace = device.world, device.directory / "ran"
    post = (
        f'slot-post-install) cd "$RAUC_SLOT_MOUNT_POINT"; test -e {trace} || {{\n'
        f"echo x > half; sync; touch {trace}; exec sleep 600; }}\n"
        "test ! -e half || exit 7; echo whole > etc/migrated;;"
    )
    action_id = offer(world, device.bundle("2.0.0", "exit 0", post))
    world.wait_for(trace.exists, 60, "the hook is at work")
    world.board.power_cut()
    assert half_written(world)
    world.board.power_on()
    assert world.wait_ended(action_id) == "FINISHED"
    world.wait_settled()
    assert read_file(world.board.slots["B"], "/etc/migrated") == b"whole\n"
    assert read_file(world.board.slots["B"], "/half") == b""
