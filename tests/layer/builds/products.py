"""What a build has made, and how to look into it: nothing is mounted."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from layer.oe.lab import BUNDLE, IMAGE, Lab
from layer.oe.workspace import Workspace

SECTOR = 512  # bytes, of the disks that wic makes


@dataclass
class Products:
    """A machine's packages, disk and bundle.

    Args:
        lab: where they were made.
        machine: of openembedded-core.
        workspace: of the build.
        said: by BitBake.
        scratch: an empty folder.
    """

    lab: Lab
    machine: str
    workspace: Workspace
    said: str
    scratch: Path

    @classmethod
    def built(cls, lab: Lab, machine: str, tree: Path, scratch: Path, *, whole: bool = False) -> Products:
        """Builds the bundle, and with it everything that it is made of; ``whole``: see ``Lab.whole``."""
        workspace = lab.whole(machine, tree) if whole else lab.workspace(machine, tree)
        return cls(lab, machine, workspace, workspace.build(BUNDLE), scratch)

    @property
    def image(self) -> Path:
        """The root file system."""
        return (self.workspace.deployed / f"{IMAGE}-{self.machine}.rootfs.ext4").resolve()

    @property
    def disk(self) -> Path:
        """The disk of a new device."""
        return (self.workspace.deployed / f"{IMAGE}-{self.machine}.rootfs.wic").resolve()

    @property
    def bundle(self) -> Path:
        """The signed update."""
        return self.workspace.deployed / f"{BUNDLE}-{self.machine}.raucb"

    @cached_property
    def variables(self) -> dict[str, str]:
        """Of the image's recipe."""
        return self.workspace.variables(IMAGE)

    @cached_property
    def partitions(self) -> dict[str, dict[str, Any]]:
        """By name: what sfdisk says of each, and its number."""
        done = subprocess.run(["sfdisk", "--json", self.disk], check=True, capture_output=True, text=True)
        table = json.loads(done.stdout)["partitiontable"]
        assert (table["label"], table.get("sectorsize", SECTOR)) == ("gpt", SECTOR)
        return {each["name"]: {**each, "number": place} for place, each in enumerate(table["partitions"], 1)}

    def partition(self, name: str, length: int | None = None) -> bytes:
        """The content of a partition, or its beginning."""
        place = self.partitions[name]
        with self.disk.open("rb") as file:
            file.seek(place["start"] * SECTOR)
            return file.read(place["size"] * SECTOR if length is None else length)

    def read(self, path: str) -> str:
        """A file of the root file system."""
        return self._debugfs(f"cat {path}")

    def link(self, path: str) -> str:
        """Where a symbolic link of the root file system points to; empty if it is none."""
        said = self._debugfs(f"stat {path}")
        return said.partition('Fast link dest: "')[2].partition('"')[0]

    def names(self, path: str) -> set[str]:
        """What lies in a folder of the root file system."""
        rows = (line.split("/") for line in self._debugfs(f"ls -p {path}").splitlines() if line.startswith("/"))
        return {row[5] for row in rows} - {".", "..", "lost+found"}

    def mode(self, path: str) -> int:
        """The permissions of a file."""
        said = self._debugfs(f"stat {path}")
        return int(said.partition("Mode:")[2].split()[0], 8)

    def package(self, name: str) -> set[str]:
        """The files of a package, without folders."""
        (deb,) = (self.workspace.folder / "tmp" / "deploy" / "deb").glob(f"*/{name}_*.deb")
        listing = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True).stdout
        names = (
            subprocess.run(["tar", "-t"], input=listing, check=True, capture_output=True).stdout.decode().splitlines()
        )
        return {name.removeprefix(".") for name in names if not name.endswith("/")}

    def boot_file(self, path: str) -> bytes:
        """A file of the boot partition."""
        part = self.scratch / "boot.vfat"
        if not part.exists():
            part.write_bytes(self.partition("boot"))
        return subprocess.run(["mtype", "-i", part, f"::{path}"], check=True, capture_output=True).stdout

    def bundled(self) -> Path:
        """The unpacked content of the bundle."""
        target = self.scratch / "bundle"
        if not target.exists():
            done = subprocess.run(
                ["unsquashfs", "-q", "-n", "-d", target, self.bundle], capture_output=True, text=True, check=False
            )
            assert (target / "manifest.raucm").exists(), done.stderr
        return target

    def copy_of_disk(self, path: Path) -> Path:
        """A disk that may be written to."""
        subprocess.run(["cp", "--sparse=always", self.disk, path], check=True)
        return path

    def _debugfs(self, command: str) -> str:
        done = subprocess.run(["debugfs", "-R", command, self.image], check=True, capture_output=True, text=True)
        return done.stdout


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
