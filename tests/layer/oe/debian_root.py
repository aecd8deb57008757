"""Debian's root file system for images of OpenEmbedded, where their own packages are empty stand-ins: programs that run.

What the image's own packages and classes bring is not in it: the agent, its users, its configuration, fstab, the kernel.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from boot.lab.boards import WATCHDOG
from boot.lab.cache import cached, home
from boot.lab.debs import Arch
from boot.lab.initrd import initrd
from boot.lab.kernel import kernel
from boot.lab.root import root, write
from boot.lab.system import INITRD_NAME

_NOT_OURS = (
    "etc/fstab",
    "etc/os-release",
    "etc/ota-agent",
    "usr/lib/os-release",
    "usr/lib/sysusers.d/*",
    "usr/lib/systemd/system-preset/*",
    "var/*",
)


def archive(arch: Arch) -> Path:
    """A tar archive of it, with the initial RAM disk and the modules that Debian's kernel needs; made once."""
    of, ram_disk, packages = kernel(arch), initrd(arch), root(arch)
    key: list[str | bytes] = [packages.name, of.image.parent.name, ram_disk.name, Path(__file__).read_bytes()]

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".debian-", dir=home()) as directory:
            tree = Path(directory) / "root"
            subprocess.run(["cp", "--archive", "--link", packages, tree], check=True)
            shutil.copytree(of.modules, tree, dirs_exist_ok=True)
            shutil.copyfile(ram_disk, tree / INITRD_NAME)
            for name, text in WATCHDOG.items():
                write(tree / name, text)
            _compile(tree)
            left_out = [f"--exclude=./{name}" for name in _NOT_OURS]
            subprocess.run(["tar", "-c", "-C", tree, *left_out, "-f", path, "."], check=True)
        path.chmod(0o644)  # who builds is not who has made it

    return cached(f"debian-{arch}", key, make, keep=4)


def _compile(tree: Path) -> None:
    """Compiles Python's modules so that times of sources do not count: all files of an image get the same one."""
    python = next((tree / "usr/bin").glob("python3.[0-9]*")).name
    options = ["-q", "-f", "--invalidation-mode=unchecked-hash", "-s", tree, "-p", "/"]
    where = [tree / "usr/lib" / python, tree / "usr/lib/python3/dist-packages"]
    subprocess.run([f"/usr/bin/{python}", "-I", "-m", "compileall", *options, *where], check=True)
