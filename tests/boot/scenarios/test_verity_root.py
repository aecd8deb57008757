"""A root that dm-verity protects as what a bundle brings: installed as it is, in use, and not started when it has rotted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from boot.lab.boards import ATTEMPTS, LABELS
from boot.lab.device import Device
from boot.lab.pc import Grub
from boot.lab.system import System

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]
SETTINGS = {"server.poll-min": 600}  # nobody cancels anything
VERSION = "2.0.0"
# What is mounted as the root, and what it is.
LOOK = (
    "findmnt --noheadings --output=SOURCE / && dmsetup --noheadings status root && dmsetup deps --options=devname root"
)


@dataclass(frozen=True, slots=True)
class Protected:
    """What has happened: an update, and then a byte in the slot that runs was another one.

    Args:
        before: what the root was before the update.
        after: the same after it.
        status: of the action.
        holds: the slot holds all of the image, the tree too.
        rotten: what the bootloader has started since the byte was changed.
        version: what runs in the end.
    """

    before: str
    after: str
    status: str
    holds: bool
    rotten: tuple[str, ...]
    version: str


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    home = tmp_path_factory.mktemp("verity")
    with Device(home / "device", Grub(), System("1.0.0", root="verity"), settings=SETTINGS) as device:
        device.power_on()
        before = device.run(LOOK)
        status = device.wait_ended(device.deploy(System(VERSION, root="verity")))
        device.up()
        device.wait_state("idle")
        after, holds = device.run(LOOK), device.slot_holds("B", VERSION)
        boots = len(device.started)
        device.cut()
        spoil(device)
        device.power_on(wait=False)
        device.wait_for(lambda: len(device.started) > boots + ATTEMPTS, "the other slot is started")
        device.up()
        yield Protected(before, after, status, holds, tuple(device.started[boots:]), device.version)


def spoil(device: Device) -> None:
    """Changes a byte that neither GRUB nor ext4 ever reads: those before the superblock are for the code of a bootloader."""
    with (device.directory / "disk.img").open("r+b") as disk:
        disk.seek(device.board.layout.offset(LABELS["B"]))
        disk.write(b"\x01")


@pytest.mark.req("S01")
def test_a_protected_root_is_installed_with_its_tree(protected: Protected) -> None:
    assert (protected.status, protected.holds) == ("FINISHED", True)


@pytest.mark.req("C11")
def test_what_runs_is_verified_before_and_after_the_update(protected: Protected) -> None:
    for root, partition in ((protected.before, "vda2"), (protected.after, "vda3")):
        source, status, under = root.splitlines()
        assert source == "/dev/mapper/root"
        assert status.split()[2:4] == ["verity", "V"], "V: no block was other than the tree says"
        assert f"({partition})" in under


@pytest.mark.req("C11")
def test_a_slot_of_which_a_byte_has_changed_does_not_run_and_the_other_one_does(protected: Protected) -> None:
    assert protected.rotten == ("B",) * ATTEMPTS + ("A",)
    assert protected.version == "1.0.0"
