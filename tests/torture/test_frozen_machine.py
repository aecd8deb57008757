"""A machine that stands still has on its disk what it would have if it had been killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from boot.lab.vm import VM, drive, network

from torture.freeze import frozen

FIRMWARE = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
SIZE = 16 * 1024 * 1024
# Each round writes a mebibyte of the next number.
WRITES = (
    "virtio scan; setenv i 0; "
    "while true; do setexpr i ${i} + 1; mw.l 43000000 ${i} 40000; virtio write 43000000 0 800; done"
)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[VM]:
    """A machine whose bootloader writes to its disk without end."""
    with (tmp_path / "disk.img").open("wb") as disk:
        disk.truncate(SIZE)
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "256", "-bios", FIRMWARE]
    with VM(tmp_path / "vm", [*command, *drive(tmp_path / "disk.img"), *network()]) as vm:
        vm.start()
        vm.console.expect("stop autoboot")
        vm.console.type("\n")
        vm.console.expect("^=> ")
        vm.console.type(f"{WRITES}\n")
        vm.console.expect("OK")
        yield vm


def test_what_a_machine_that_stands_still_has_on_its_disk_is_what_its_death_leaves(machine: VM, tmp_path: Path) -> None:
    seen = set()
    for _ in range(8):
        with frozen(machine.process):
            seen.add((tmp_path / "disk.img").read_bytes())
            time.sleep(0.1)
            assert (tmp_path / "disk.img").read_bytes() in seen
        machine.pause()
    with frozen(machine.process):
        copy = (tmp_path / "disk.img").read_bytes()
        machine.cut()
    assert (tmp_path / "disk.img").read_bytes() == copy
    assert len(seen) > 1, "it has written nothing meanwhile"
