"""What a kind of device is: its processor, its bootloader, and where that keeps its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from boot.lab.debs import Arch
from boot.lab.disk import Layout
from boot.lab.vm import network

BOOTNAMES = ("A", "B")
ATTEMPTS = 3
LABELS = {"A": "rootfs-a", "B": "rootfs-b", "R": "rescue"}
# What each of them has, for QEMU, and what loads the module of the watchdog: udev of the guest loads none by itself.
DEVICES = [
    *network(), "-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset",
    "-device", "virtio-blk-pci,drive=disk,serial=disk", "-device", "qemu-xhci",
]  # fmt: skip
WATCHDOG = {"etc/modules-load.d/watchdog.conf": "i6300esb\n"}
LAST_WORDS = 0x20000  # bytes of memory for what a kernel says when it panics; a reset of QEMU leaves memory alone


def ramoops(address: int) -> str:
    """Arguments for a kernel that may keep its last words at an address, which nobody else may use."""
    return f"ramoops.mem_address={address:#x} ramoops.mem_size={LAST_WORDS:#x} ramoops.record_size=0x4000"


class Board(Protocol):
    """One kind of device. Its disks are files in a directory; everything is read and written while it is switched off."""

    name: str
    arch: Arch
    layout: Layout  # of the first disk
    images: tuple[str, ...]  # ``disk``, and others that it has
    settings: Mapping[str, object]  # of the agent, ``"section.key"`` and value
    files: Mapping[str, str]  # what each of its systems has, for example /etc/fw_env.config

    def make(self, directory: Path, contents: Mapping[str, Path]) -> None:
        """Makes ``<image>.img`` for each image, as the factory does.

        Args:
            directory: where.
            contents: by label of the partition, as for ``disk.make_disk``; ``boot`` is not among them.
        """
        ...

    def command(self) -> list[str]:
        """QEMU with its devices, each disk connected to the block node that has the name of the image."""
        ...

    def variables(self, directory: Path) -> Mapping[str, str]:
        """The boot environment as the bootloader would take it, with those variables that the agent shares with it.

        Raises:
            LookupError: no copy is whole.
        """
        ...

    def copies(self, directory: Path) -> list[bytes]:
        """The copies of the environment as they lie on the disk."""
        ...

    def put_copy(self, directory: Path, number: int, content: bytes) -> None:
        """Overwrites a copy, also with rubbish."""
        ...
