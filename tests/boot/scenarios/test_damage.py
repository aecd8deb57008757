"""A medium with a bad sector, and a boot environment of which no copy is whole: what runs stays, and mends the rest.

Everything happens to one device, in the order of the tests, because each boot costs so much.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from boot.lab.device import Device
from boot.lab.disk import SECTOR
from boot.lab.faults import bad_sector
from boot.lab.kinds import KINDS
from boot.lab.system import MIB, System, slot_image

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(5400)]
SETTINGS = {"update.attempts": 4}  # each one starts two processes, which take an emulated processor half a minute
SYSTEM = System("2.0.0")
EARLIEST = 10 * MIB  # in the slot, behind the first checkpoint
RUBBISH = bytes(range(256)) * 256
FACTORY = {
    "uboot": {"BOOT_ORDER": "A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "0"},
    "grub": {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "A_LEFT": "3", "B_OK": "0", "B_TRY": "0"},
}


@pytest.fixture(scope="module")
def device(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """On, in slot A; its boot was judged, so that the slot has its attempts back."""
    with Device(tmp_path_factory.mktemp(kind) / "device", KINDS[kind](), settings=SETTINGS) as device:
        device.power_on()
        device.wait_for(lambda: device.variables == FACTORY[family(kind)], "the boot is judged")
        yield device


def family(kind: str) -> str:
    return kind.partition("-")[0]


def takes_counts(block: bytes) -> bool:
    """Whether GRUB can store into its block: there is nothing but padding behind the last line."""
    return block.startswith(b"# GRUB Environment Block\n") and block.rstrip(b"#").endswith(b"\n")


def written(image: Path) -> int:
    """An offset that is written to an empty slot: blocks that are there already are not, and zeros are."""
    with image.open("rb") as file:
        file.seek(EARLIEST)
        return EARLIEST + next(at for at in range(0, EARLIEST, SECTOR) if any(file.read(SECTOR)))


@pytest.mark.req("S07")
def test_a_bad_sector_in_the_other_slot_ends_the_update_and_costs_the_running_system_nothing(
    device: Device, kind: str
) -> None:
    before = len(device.started)
    bad = device.board.layout.offset("rootfs-b") + written(slot_image(device.fitted(SYSTEM)))
    with bad_sector(device.vm, bad):
        action = device.deploy(SYSTEM)
        assert device.wait_ended(action) == "ERROR", device.messages(action)
    assert "[slot.write-failed] " in device.messages(action)
    device.wait_state("idle")
    assert (device.started[before:], device.version) == ([], "1.0.0")
    assert FACTORY[family(kind)].items() <= device.variables.items()


@pytest.mark.req("S08")
@pytest.mark.parametrize("torn", [False, True], ids=["rubbish", "torn"])
def test_a_device_mends_its_environment_when_no_copy_is_whole(device: Device, torn: bool) -> None:
    device.cut()
    for number, copy in enumerate(device.board.copies(device.directory)):
        half = len(copy) // 2
        damaged = copy[:half] + RUBBISH[:half] if torn else RUBBISH[: len(copy)]
        device.board.put_copy(device.directory, number, damaged)
    device.power_on()
    if family(device.board.name) == "grub":  # GRUB lists what is in a torn block, and cannot count in it
        device.wait_for(lambda: takes_counts(device.board.copies(device.directory)[0]), "the block is written anew")
    booted = device.busctl("get-property", "Slot")
    order = "BOOT_ORDER" if family(device.board.name) == "uboot" else "ORDER"
    assert device.variables[order].split() == [booted, "A" if booted == "B" else "B"]
