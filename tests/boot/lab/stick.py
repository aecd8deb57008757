"""A USB stick with FAT on it, plugged into a machine that runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from boot.lab.device import Device
from boot.lab.system import MIB
from boot.lab.vm import VM

# What finds a stick in the guest, whose udev loads no drivers by itself (lab/root_files.py).
MODULES = {"etc/modules-load.d/stick.conf": "xhci_pci\nusb_storage\nuas\nsd_mod\nvfat\n"}
FINDER = {
    "etc/systemd/system/sockets.target.wants/ota-agent-find.socket": "/usr/lib/systemd/system/ota-agent-find.socket"
}
_NODE = "stick"
_MOUNT = (
    "modprobe -a xhci_pci usb_storage sd_mod vfat; until test -b /dev/sda; do sleep 1; done; mount -r /dev/sda /mnt"
)


def make_stick(path: Path, *files: Path) -> Path:
    """Makes an image with these files in its top directory."""
    with path.open("wb") as image:
        image.truncate(32 * MIB + sum(file.stat().st_size for file in files))
    _run("mkfs.vfat", "-n", "STICK", path)
    _run("mcopy", "-i", path, *files, "::/")
    return path


def plug(vm: VM, image: Path) -> None:
    """Plugs it in; the board has a socket for it (``boards.DEVICES``)."""
    vm.qmp("blockdev-add", driver="file", filename=str(image), node_name=_NODE, read_only=True)
    vm.qmp("device_add", driver="usb-storage", id=_NODE, drive=_NODE, removable=True)


def mounted(device: Device, bundle: Path) -> str:
    """Brings a bundle to a device on a stick, as somebody does who has a root shell there; returns its path in the device.

    Args:
        device: it has no stick yet, and does not look for any.
        bundle: a file.
    """
    plug(device.vm, make_stick(device.directory / f"{bundle.stem}.stick", bundle))
    device.run(_MOUNT)
    return f"/mnt/{bundle.name}"


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
