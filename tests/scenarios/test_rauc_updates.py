"""Bundles that Debian's ``rauc bundle`` has built, installed through the whole chain on a board with U-Boot."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pki.build import shared_pki
from support.bundles import make_content
from support.rauc import rauc_bundle
from support.shelf import Shelf, offer, trust

from agent.codes import number
from agent.demo.factory import COMPATIBLE
from agent.demo.images import MIB
from agent.demo.world import World, sha256

SIZE = 104  # MiB of the real image


@dataclass
class Device:
    """A device whose slots take a real image; it waits for its restart, so that a test can look before it."""

    world: World
    shelf: Shelf


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    home = tmp_path_factory.mktemp("rauc")
    with trust(
        World(home / "world", size=SIZE, overrides={"update.reboot": False, "update.allow-downgrade": True})
    ) as world:
        yield Device(world, Shelf(home / "shelf", SIZE))


def built_by_rauc(shelf: Shelf, image: Path, version: str, kind: str) -> Path:
    content = make_content(
        shelf.directory / f"{version}.content", version=version, compatible=COMPATIBLE, image=image,
        extra="[bundle]\nformat=verity\n" if kind == "verity" else "",
    )  # fmt: skip
    try:
        return rauc_bundle(content, shelf.directory / f"{version}.raucb", shared_pki().signer("good-intermediate"))
    finally:
        shutil.rmtree(content)


def printed(config: Path) -> Mapping[str, str]:
    text = subprocess.run(["fw_printenv", "-c", config], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def as_rauc_leaves_it(world: World, directory: Path, *changes: tuple[str, str]) -> Mapping[str, str]:
    """Applies RAUC's calls of fw_setenv, one after the other, to a copy of the environment."""
    copy, config = directory / "uboot.env", directory / "fw_env.config"
    shutil.copyfile(world.board.flash.path, copy)
    config.write_text((world.directory / "fw_env.config").read_text().replace(str(world.board.flash.path), str(copy)))
    for name, value in changes:
        subprocess.run(["fw_setenv", "-c", config, name, value], check=True)
    return printed(config)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.req("S01", "S02", "S03")
@pytest.mark.parametrize(("kind", "version"), [("verity", "2.0.0"), ("plain", "3.0.0")])
def test_a_bundle_by_rauc_leaves_what_rauc_leaves(device: Device, tmp_path: Path, kind: str, version: str) -> None:
    world = device.world
    image = device.shelf.image(version)
    assert image.stat().st_size >= 100 * MIB
    bundle = built_by_rauc(device.shelf, image, version, kind)
    world.wait_settled()
    old, new = world.running.bootname, world.other
    expected = as_rauc_leaves_it(
        world, tmp_path,
        ("BOOT_ORDER", old), (f"BOOT_{new}_LEFT", "0"),  # before writing: bad
        (f"BOOT_{new}_LEFT", "3"), ("BOOT_ORDER", f"{new} {old}"),  # after writing: primary
    )  # fmt: skip

    action_id = offer(world, bundle, version)
    world.wait_for(lambda: world.state == "rebooting", 60, "the update is activated")
    activated = dict(world.environment())
    trial = activated.pop("OTA_TRIAL")
    assert trial.startswith(f"{new},{action_id},")
    assert activated == expected
    assert world.slot_sha256(new, image.stat().st_size) == sha256(image)
    assert not any(entry.type == "FINISHED" for entry in world.history(action_id)), "nothing has proved itself yet"

    world.board.power_cut()
    world.board.power_on()
    booted = world.environment()
    assert (booted[f"BOOT_{new}_LEFT"], booted["OTA_TRIAL"]) == ("2", trial)
    assert world.wait_ended(action_id) == "FINISHED"
    world.wait_settled()
    # RAUC's mark-good sets the attempts, and nothing else: that is the expectation from before the boot.
    assert world.environment() == expected
    assert (world.running.bootname, world.running.version) == (new, version)
    assert world.slot_sha256(new, image.stat().st_size) == sha256(image)
    assert world.board.document("slots")["groups"][new]["state"] == "confirmed"  # type: ignore[index]  # JSON
    assert not list((world.directory / "state").glob("spool-*")), "nothing is left over"


@pytest.mark.timeout(90)
@pytest.mark.req("S07")
def test_a_system_that_does_not_boot_uses_up_its_attempts_and_is_left(tmp_path: Path) -> None:
    with trust(World(tmp_path / "world", size=8)) as world:
        world.wait_settled()
        shelf = Shelf(tmp_path / "shelf")
        old = world.running
        action_id = offer(world, built_by_rauc(shelf, shelf.image("2.0.0", bootable=False), "2.0.0", "verity"))
        assert world.wait_ended(action_id) == "ERROR"
        world.wait_settled()
        assert [(boot.bootname, boot.version) for boot in world.board.boots] == [(old.bootname, old.version)] * 2
        last = world.history(action_id)[-1]
        assert (last.type, last.code) == ("ERROR", number("boot.fallback"))
        assert last.messages[0].startswith("[boot.fallback] ")
        environment = world.environment()
        assert (environment["BOOT_ORDER"], environment["BOOT_B_LEFT"]) == ("A", "0")
        assert "OTA_TRIAL" not in environment

        assert world.wait_ended(offer(world, shelf.bundle("2.0.1"))) == "FINISHED"
        world.wait_settled()
        assert world.environment()["BOOT_ORDER"] == "B A", "the slot is back in the order"
