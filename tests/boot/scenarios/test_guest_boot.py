"""What a guest does that finds no root; QEMU is its bootloader here."""

from __future__ import annotations

from pathlib import Path

from boot.lab.disk import layout, make_disk
from boot.lab.initrd import initrd
from boot.lab.kernel import kernel
from boot.lab.system import System, slot_image
from boot.lab.vm import VM, drive


def test_a_root_that_is_not_there_is_a_panic_and_the_device_restarts(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk.img", layout(), {"rootfs-a": slot_image(System("1.0.0"))})
    arguments = "console=ttyAMA0 quiet loglevel=4 panic=1 root=PARTLABEL=rootfs-x"
    loaded = ["-kernel", str(kernel("arm64").image), "-initrd", str(initrd("arm64")), "-append", arguments]
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "512", *loaded, *drive(disk)]
    with VM(tmp_path / "vm", command) as vm:
        vm.start()
        vm.console.expect("initrd: there is no PARTLABEL=rootfs-x", 900)
        vm.wait_reset(0, 900)
