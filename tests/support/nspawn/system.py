"""Root file systems that a device runs from: ext4 in a loop device, which is the upper layer of the container's root."""

from __future__ import annotations

import hashlib
import random
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.bundles import make_bundle
from support.nspawn.image import write_all

MIB = 1024 * 1024
COMPATIBLE = "nspawn-board"
SLOT_SIZE = 12 * MIB
_SPARE = 3 * MIB  # of an image, for what is not noise


@dataclass(frozen=True, slots=True)
class Image:
    """The bytes of a file system."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class System:
    """What is in one.

    Args:
        version: VERSION_ID of its os-release.
        files: path and text of what else it brings: units, configuration. Scripts are executable.
        noise: MiB that cannot be compressed, at most 9, so that a download has something to do.
        boots: False leaves out what a bootloader looks for.
    """

    version: str
    files: Mapping[str, str] = field(default_factory=dict)
    noise: int = 1
    boots: bool = True

    def image(self, path: Path) -> Path:
        """Makes the file system."""
        release = f'ID=board\nNAME="Board"\nVERSION_ID={self.version}\n'
        kernel = {"boot/vmlinuz": f"a kernel for {self.version}\n"} if self.boots else {}
        with tempfile.TemporaryDirectory(prefix="ota-system-") as directory:
            tree = write_all(Path(directory), {**kernel, "etc/os-release": release, **self.files})
            tree.chmod(0o755)
            (tree / "noise").write_bytes(random.Random(self.version).randbytes(self.noise * MIB))
            size = f"{(self.noise * MIB + _SPARE) // 1024}k"
            command = ["mke2fs", "-q", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0"]
            subprocess.run([*command, "-d", tree, path, size], check=True, capture_output=True)
        return path

    def bundle(self, directory: Path) -> Path:
        """Makes a signed bundle of it by a signer of ``pki.build.shared_pki``."""
        return self.packed(directory)[0]

    def packed(self, directory: Path) -> tuple[Path, Image]:
        """As ``bundle``; returns also what is in it."""
        image = self.image(directory / f"{self.version}.img")
        try:
            content = image.read_bytes()
            bundle = make_bundle(directory, version=self.version, compatible=COMPATIBLE, image=image)
            return bundle, Image(len(content), hashlib.sha256(content).hexdigest())
        finally:
            image.unlink()
