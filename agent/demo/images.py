"""Root file systems for a device in a folder: real ext4, small, and the same bytes every time.

``debugfs`` fills the image in a fixed order. ``mke2fs -d`` would take the order of the host's directory and its
times of change, so that no two builds were alike.
"""

from __future__ import annotations

import random
import struct
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from agent.demo import tools

MIB = 1024 * 1024
SMALLEST = 8  # MiB
OS_RELEASE = "/etc/os-release"
HEALTH = "/usr/lib/ota-demo/health"
_TIME = "1700000000"  # seconds since the epoch, in every time stamp
_MAGIC_AT, _MAGIC = 0x438, 0xEF53  # Documentation/filesystems/ext4/super.rst: s_magic
_PAIRS = 8  # files of each kind of filler
_LINE = "{:08d} the quick brown fox jumps over the lazy dog and finds nothing new\n"


@dataclass(frozen=True, slots=True)
class RootFs:
    """What is in a root file system.

    Args:
        version: VERSION_ID of os-release, and the seed of the filler.
        size: MiB of the image, at least 8; a third of it is filler that cannot be compressed, a third such that can.
        sick: why its health check fails; empty for a healthy one.
        bootable: False leaves os-release out, so that no boot gets anywhere.
    """

    version: str
    size: int = 24
    sick: str = ""
    bootable: bool = True

    @property
    def os_release(self) -> str:
        """Its /etc/os-release."""
        return (
            f'ID=ota-demo\nNAME="OTA demo device"\nVERSION_ID={self.version}\n'
            f'PRETTY_NAME="OTA demo device {self.version}"\n'
        )

    @property
    def health(self) -> str:
        """Its health check, a shell script."""
        if not self.sick:
            return f"#!/bin/sh\necho 'version {self.version} works'\n"
        quoted = self.sick.replace("'", "'\\''")
        return f"#!/bin/sh\necho '{quoted}' >&2\nexit 1\n"


def make_image(path: Path, content: RootFs) -> Path:
    """Makes the image; the same content gives the same bytes.

    Raises:
        ValueError: it is to be smaller than 8 MiB.
        EnvironmentFault: ``demo.tool-missing``, ``demo.tool-failed``.
    """
    if content.size < SMALLEST:
        raise ValueError(f"a root file system has at least {SMALLEST} MiB")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"ota-demo:{content.version}")
    fixed = {"E2FSPROGS_FAKE_TIME": _TIME}
    tools.run(
        "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "rootfs",
        "-O", "^has_journal,^resize_inode", "-U", str(identity),
        "-E", f"hash_seed={identity},root_owner=0:0,lazy_itable_init=0", str(path), f"{content.size}M",
        extra=fixed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ota-demo-") as scratch:
        script = _fill(Path(scratch), content)
        tools.run("debugfs", "-w", "-f", "-", str(path.absolute()), cwd=Path(scratch), script=script, extra=fixed)
    if content.bootable != bool(read_file(path, OS_RELEASE)):
        raise RuntimeError(f"{path} was not filled")
    return path


def _fill(scratch: Path, content: RootFs) -> str:
    """Writes the files into a directory and returns the commands that copy them."""
    seed = random.Random(content.version)
    files = {"usr/lib/ota-demo/health": (content.health.encode(), 0o755)}
    for number in range(_PAIRS):
        # Taking turns, so that no part of the image is all hard or all easy to compress.
        files[f"usr/lib/ota-demo/photo-{number}"] = (seed.randbytes(content.size * MIB // 3 // _PAIRS), 0o644)
        files[f"usr/lib/ota-demo/story-{number}"] = (_story(seed, content.size * MIB // 3 // _PAIRS), 0o644)
    if content.bootable:
        files["etc/os-release"] = (content.os_release.encode(), 0o644)
    commands = ["mkdir etc", "mkdir usr", "mkdir usr/lib", "mkdir usr/lib/ota-demo"]
    for name, (data, mode) in files.items():
        local = scratch / name.replace("/", "-")
        local.write_bytes(data)
        local.chmod(mode)
        commands.append(f"write {local.name} {name}")
    return "\n".join([*commands, "quit", ""])


def _story(seed: random.Random, size: int) -> bytes:
    first = seed.randrange(10_000_000)
    return "".join(map(_LINE.format, range(first, first + size // len(_LINE.format(0))))).encode()


def read_file(image: Path, name: str) -> bytes:
    """Reads a file out of an image or a slot; empty when there is no ext4 or no such file."""
    if not is_ext4(image):
        return b""
    # Not "cat": debugfs mixes its complaints about a damaged file system into standard output.
    with tempfile.TemporaryDirectory(prefix="ota-demo-") as scratch:
        tools.run("debugfs", "-R", f"dump {name} out", str(image.absolute()), cwd=Path(scratch))
        out = Path(scratch) / "out"
        return out.read_bytes() if out.exists() else b""


def is_ext4(image: Path) -> bool:
    """Whether there is a superblock."""
    with image.open("rb") as file:
        file.seek(_MAGIC_AT)
        data = file.read(2)
    return len(data) == 2 and struct.unpack("<H", data)[0] == _MAGIC
