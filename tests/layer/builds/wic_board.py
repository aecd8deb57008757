"""A device whose disk is the one that wic has made from the layer's kickstart file, and what the factory adds to it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boot.lab.boards import DEVICES
from boot.lab.debs import Arch
from boot.lab.disk import Layout, Partition
from boot.lab.environment import decode

from layer.builds.products import SECTOR, Products
from layer.oe.lab import ARCHITECTURES

CONFIGURATION = "ota-agent/conf.d"  # on the data partition: /etc/ota-agent/conf.d of the running system
_UBOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
_COMMANDS: Mapping[Arch, list[str]] = {
    "amd64": ["qemu-system-x86_64", "-machine", "q35", "-cpu", "qemu64", "-bios", "/usr/share/ovmf/OVMF.fd"],
    "arm64": ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53", "-bios", _UBOOT],
}


@dataclass(frozen=True)
class _Placed(Layout):
    """Partitions where wic has put them.

    Args:
        starts: by name, in bytes.
    """

    starts: Mapping[str, int] = field(default_factory=dict)

    def offset(self, label: str) -> int:
        """See ``Layout``."""
        return self.starts[label]


class WicBoard:
    """See ``Board``. The disk comes with a system in slot A.

    Args:
        products: of a build.
    """

    images: tuple[str, ...] = ("disk",)
    settings: Mapping[str, object] = {}  # the layer makes them
    files: Mapping[str, str] = {}

    def __init__(self, products: Products) -> None:
        self.name, self.arch = products.machine, ARCHITECTURES[products.machine]
        self._products, self.grub = products, products.variables["OTA_BOOTLOADER"] == "grub"
        places = products.partitions
        self.layout = _Placed(
            tuple(Partition(name, each["size"] * SECTOR, each["type"]) for name, each in places.items()),
            {name: each["start"] * SECTOR for name, each in places.items()},
        )

    def make(self, directory: Path, contents: Mapping[str, Path]) -> None:
        """See ``Board``; what is in the folder ``data`` goes into the place for the configuration of one device."""
        self._products.copy_of_disk(directory / "disk.img")
        commands = [f"cd /{CONFIGURATION}"]
        for path in contents["data"].iterdir():
            commands += [f"write {path} {path.name}", *(f"sif {path.name} {owner} 0" for owner in ("uid", "gid"))]
        script = directory / "debugfs"
        script.write_text("\n".join(commands) + "\n")
        done = subprocess.run(
            ["debugfs", "-w", "-f", script, self.partition(directory, "data")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(done.stderr.splitlines()) == 1, done.stderr  # it tells its version

    def partition(self, directory: Path, label: str) -> Path:
        """What programs of e2fsprogs take for the path of a partition."""
        return Path(f"{directory}/disk.img?offset={self.layout.offset(label)}")

    def command(self) -> list[str]:
        """See ``Board``."""
        return [*_COMMANDS[self.arch], "-accel", "tcg", "-m", "512", *DEVICES]

    def variables(self, directory: Path) -> Mapping[str, str]:
        """See ``Board``; read by GRUB's own tool, or as U-Boot does."""
        if not self.grub:
            return decode(self.copies(directory), redundant=False)
        with tempfile.NamedTemporaryFile(prefix="ota-grubenv-") as file:
            file.write(self.copies(directory)[0])
            file.flush()
            done = subprocess.run(["grub-editenv", file.name, "list"], capture_output=True, text=True, check=True)
        return dict(line.partition("=")[::2] for line in done.stdout.splitlines())

    def copies(self, directory: Path) -> list[bytes]:
        """See ``Board``."""
        return [
            subprocess.run(["mtype", *self._boot(directory), f"::{file}"], check=True, capture_output=True).stdout
            for file in self._files()
        ]

    def put_copy(self, directory: Path, number: int, content: bytes) -> None:
        """See ``Board``."""
        command = ["mcopy", "-o", *self._boot(directory), "-", f"::{self._files()[number]}"]
        subprocess.run(command, input=content, check=True, capture_output=True)

    def _files(self) -> list[str]:
        if self.grub:
            return ["EFI/BOOT/grubenv"]
        file = self._products.variables["OTA_UBOOT_ENV_FILE"]
        return [file, f"{file}.bak"]

    def _boot(self, directory: Path) -> list[str]:
        return ["-i", f"{directory}/disk.img@@{self.layout.offset('boot')}"]
