"""A device as the layer makes it: its disk, its configuration, and the bundle that updates it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from boot.lab.device import Device
from boot.lab.system import Image, System
from boot.lab.variant import change, read

from layer.builds.products import Products, digest
from layer.builds.wic_board import WicBoard
from layer.oe.lab import VERSION

_FIRST = "1.0.0"
# Files of one device lie beside its settings.
_OWN = {
    "server.target-token-file": "target.token",
    "server.ca-file": "server-ca.pem",
    "health.deadline": 240,
    "health.soak": 1,
    "health.interval": 0.5,
}


class WholeDevice(Device):
    """The device, switched off. Slot A says that it is an older version of what the bundle holds.

    Args:
        directory: a new one.
        products: of a build with Debian's root.
    """

    def __init__(self, directory: Path, products: Products) -> None:
        self.products, self._wic = products, WicBoard(products)
        super().__init__(directory, self._wic, settings=_OWN)

    def _make_disks(self, system: System, rescue: System | None) -> None:
        assert rescue is None, "the layer's disk has no place for it"
        factory = self.directory / "factory"
        (factory / "ca.pem").unlink()  # the keyring is in the image
        self._wic.make(self.directory, {"data": factory})
        slot = self._wic.partition(self.directory, "rootfs-a")
        release = "etc/os-release"
        change(slot, files={release: read(slot, release).replace(VERSION, _FIRST)})

    def bundle(self, system: System, **options: Any) -> Path:
        """The bundle of the build."""
        assert (system.version, not system.files, options) == (VERSION, True, {}), "the build makes one system"
        image = self.products.image
        self.images[VERSION] = Image(image.stat().st_size, digest(image))
        return self.products.bundle
