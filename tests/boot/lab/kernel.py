"""Debian's kernel for a guest, with the modules that a device of the tests can need."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from boot.lab.cache import cached, home
from boot.lab.debs import Arch, fetch_alone, unpack

# What QEMU's boards have; disks and the network of every one of them.
_COMMON = (
    "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_scsi",
    "sd_mod", "xhci_pci", "ehci_pci", "usb_storage", "uas",
    "ext4", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8", "squashfs", "overlay", "loop",
    "dm_mod", "dm_verity", "dm_crypt", "dm_flakey", "dm_log_writes", "dm_delay", "dm_snapshot",
    "mmc_block", "sdhci_pci", "softdog", "i6300esb", "ramoops", "efi_pstore", "efivarfs", "pstore_blk",
    "sch_netem", "af_packet", "unix", "fuse", "xts", "sha256_generic", "ubi", "ubifs", "autofs4", "configfs",
)  # fmt: skip
_OWN: dict[Arch, tuple[str, ...]] = {
    "arm64": ("gpio_pl061", "rtc_pl031", "aes_ce_blk", "sha2_ce", "sha256_arm64"),
    "amd64": (
        "ahci",
        "nandsim",
        "mtdblock",
        "mtdchar",
        "mtdram",
        "block2mtd",
        "jffs2",
        "aesni_intel",
        "sha256_ssse3",
        "rtc_cmos",
    ),
}
_PACKAGES: dict[Arch, str] = {"arm64": "linux-image-arm64", "amd64": "linux-image-amd64"}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of Debian.

    Args:
        version: as ``uname -r`` tells it.
        image: what a bootloader loads.
        modules: a tree with ``usr/lib/modules/<version>`` in it.
    """

    version: str
    image: Path
    modules: Path


def kernel(arch: Arch) -> Kernel:
    """Fetches it, unless that was done before."""
    deb = fetch_alone(arch, _PACKAGES[arch], first_dependency=True)
    directory = cached(f"kernel-{arch}", [deb.name, Path(__file__).read_bytes()], lambda path: _make(path, deb, arch))
    version = next((directory / "tree/usr/lib/modules").iterdir()).name
    return Kernel(version, directory / "image", directory / "tree")


def needed(tree: Path, version: str, names: tuple[str, ...]) -> list[Path]:
    """The files of modules and of what they need, in the order in which they are loaded; what is built in has none.

    Args:
        tree: has ``lib/modules/<version>`` in it.
        version: of the kernel.
        names: of modules; one that this kernel does not have is left out.
    """
    found: dict[Path, None] = {}
    for name in names:
        command = ["modprobe", "--dirname", str(tree), "--set-version", version, "--show-depends", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            kind, _, path = line.partition(" ")
            if kind == "insmod":
                found[Path(path.strip())] = None
    return list(found)


def _make(path: Path, deb: Path, arch: Arch) -> None:
    with tempfile.TemporaryDirectory(prefix=".kernel-", dir=home()) as directory:
        whole = Path(directory)
        unpack(deb, whole, ["./usr/share"])
        image = next((whole / "boot").glob("vmlinuz-*"))
        version = image.name.partition("-")[2]
        _depmod(whole, version)
        kept = path / "tree/usr/lib/modules" / version
        kept.mkdir(parents=True)
        source = whole / "lib/modules" / version
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            shutil.copy(source / name, kept)
        for module in needed(whole, version, _COMMON + _OWN[arch]):
            target = kept / module.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, target)
        (path / "tree/lib").symlink_to("usr/lib")
        _depmod(path / "tree", version)
        (path / "tree/lib").unlink()
        shutil.copy(image, path / "image")


def _depmod(tree: Path, version: str) -> None:
    subprocess.run(["depmod", "-b", tree, version], check=True, capture_output=True)
