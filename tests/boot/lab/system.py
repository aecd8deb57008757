"""Root file systems that a device runs from: ext4 images of slots, and bundles of them.

One image of a root with kernel and agent is made for each architecture; what a test has changed is written into a copy of it.
A system that will not get as far as its agent can begin with less, and is installed in less time.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from support.bundles import make_bundle

from boot.lab import agent_tree
from boot.lab.cache import cached, home
from boot.lab.debs import Arch
from boot.lab.initrd import initrd, put_busybox
from boot.lab.kernel import kernel
from boot.lab.root import root, write
from boot.lab.variant import change
from boot.lab.verity import protect

MIB = 1024 * 1024
COMPATIBLE = "boot-board"
SLOT_SIZE = 256 * MIB
Root = Literal["whole", "verity", "no-python", "kernel"]
_IMAGE_SIZES: dict[Root, int] = {"whole": 232 * MIB, "verity": 232 * MIB, "no-python": 176 * MIB, "kernel": 48 * MIB}
_PYTHON = ("usr/bin/python3*", "usr/lib/python3*", "usr/lib/ota-agent/agent")
_KEPT = 8  # images of systems, a quarter of a gigabyte each
KERNEL_NAMES: dict[Arch, str] = {"arm64": "boot/Image", "amd64": "boot/vmlinuz"}
INITRD_NAME = "boot/initrd"
# U-Boot 2023.01 and GRUB 2.06 cannot read metadata_csum_seed. The numbers are the same in all images, so that what two systems
# have in common is the same in them.
_FEATURES = "^has_journal,^metadata_csum_seed,^orphan_file,^resize_inode"
_UUID = "6f74612d-6167-656e-7400-000000000003"


@dataclass(frozen=True, slots=True)
class Image:
    """The bytes of a file system."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class System:
    """What is in a slot.

    Args:
        version: VERSION_ID of its os-release.
        arch: whose kernel and programs.
        files: path and text of what else it brings: units, configuration. Scripts are executable.
        remove: paths of files that it lacks, for example ``boot/Image``.
        links: path and target of symbolic links: a unit that it masks, or enables.
        compatible: which devices a bundle of it is for.
        root: what it begins with. ``verity`` is ``whole``, protected by dm-verity. ``no-python`` has no agent that could start,
            ``kernel`` nothing but kernel, initial RAM disk and busybox.
    """

    version: str
    arch: Arch = "arm64"
    files: Mapping[str, str] = field(default_factory=dict)
    remove: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    compatible: str = COMPATIBLE
    root: Root = "whole"

    def bundle(self, directory: Path, **options: Any) -> Path:
        """Makes a signed bundle of it by a signer of ``pki.build.shared_pki``; ``options`` are for ``make_bundle``."""
        return self.packed(directory, **options)[0]

    def packed(self, directory: Path, **options: Any) -> tuple[Path, Image]:
        """As ``bundle``; returns also what is in it."""
        image = slot_image(self)
        with image.open("rb") as file:
            of = Image(image.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
        # lz4 is packed and unpacked in the least time, and time is what an emulated device is short of.
        options = {"compression": "lz4", **options}
        return make_bundle(directory, version=self.version, compatible=self.compatible, image=image, **options), of


def slot_image(system: System) -> Path:
    """The file system of a slot; not to be changed. It is smaller than the slot."""
    base = base_image(system.arch, system.root)
    release = f'ID=board\nNAME="Board"\nVERSION_ID={system.version}\n'
    files = {"etc/os-release": release, **system.files}
    key: list[str | bytes] = [
        base.name,
        *(repr(sorted(part.items())) for part in (files, system.links)),
        repr(sorted(system.remove)),
    ]

    def make(path: Path) -> None:
        _copy(base, path)
        change(path, files=files, links=system.links, remove=system.remove)
        if system.root == "verity":
            protect(path)

    return cached(f"slot-{system.arch}", key, make, keep=_KEPT)


def base_image(arch: Arch, kind: Root = "whole") -> Path:
    """What all systems of an architecture begin with."""
    of, ram_disk, packages = kernel(arch), initrd(arch, verity=kind == "verity"), root(arch)
    sources = agent_tree.sources() if kind != "kernel" else []
    key: list[str | bytes] = [
        kind,
        packages.name,
        of.image.parent.name,
        ram_disk.name,
        *(path.read_bytes() for path in (*sources, Path(__file__))),
    ]

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".base-", dir=home()) as directory:
            tree = Path(directory) / "root"
            if kind == "kernel":
                for name in ("bin", "boot", "dev", "proc", "sys"):
                    (tree / name).mkdir(parents=True)
                put_busybox(tree / "bin", arch)
            else:
                subprocess.run(["cp", "--archive", "--link", packages, tree], check=True)
                shutil.copytree(of.modules, tree, dirs_exist_ok=True)
                agent_tree.lay_agent(tree)
            if kind == "no-python":
                _remove(tree, _PYTHON)
            shutil.copyfile(of.image, tree / KERNEL_NAMES[arch])
            shutil.copyfile(ram_disk, tree / INITRD_NAME)
            write(tree / "etc/os-release", "")
            format_ext4(path, _IMAGE_SIZES[kind], tree, features=_FEATURES)

    return cached(f"base-{kind}-{arch}", key, make)


def _remove(tree: Path, patterns: Sequence[str]) -> None:
    for found in [path for pattern in patterns for path in tree.glob(pattern)]:
        shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()


def format_ext4(path: Path, size: int, tree: Path, *, features: str = "^orphan_file", label: str = "") -> None:
    """Makes a file system with what is in a tree.

    Args:
        path: of the image.
        size: of the image, in bytes.
        tree: its owners and times are kept.
        features: for mke2fs(8).
        label: of the file system.
    """
    options = [
        "-b",
        "4096",
        "-m",
        "0",
        "-O",
        features,
        "-L",
        label,
        "-U",
        _UUID,
        "-E",
        f"hash_seed={_UUID},root_owner=0:0",
    ]
    _sized(path, size)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", tree, path], check=True, capture_output=True)


def _sized(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)
