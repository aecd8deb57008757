"""The root of a guest without the agent: packages of Debian, unpacked, and what their maintainer scripts would have done.

No program of the guest runs while it is made, so one for arm64 needs neither binfmt nor an emulator (ADR 34). As on a device
that cannot be logged in to, ``/`` is read-only; the data partition is ``/var``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from boot.lab.cache import ROOT, cached
from boot.lab.debs import Arch, fetch, unpack
from boot.lab.root_files import ENABLED, FILES, GENERATORS, LEFT_OUT, LINKS, MASKED

_PACKAGES = (
    "base-files", "base-passwd", "bash", "dash", "coreutils", "sed", "grep", "findutils", "gzip", "mawk", "procps", "hostname",
    "mount", "util-linux", "libc-bin", "netbase", "ncurses-base", "iproute2", "kmod", "usr-is-merged",
    "systemd", "systemd-sysv", "udev", "dbus", "polkitd", "libpam-systemd", "libpam-runtime", "libpam-modules",
    "login", "passwd", "python3", "python3-gi", "python3-pydbus", "python3-systemd", "python3-pyudev", "python3-asn1crypto",
    "libubootenv-tool", "e2fsprogs", "dosfstools", "mtd-utils", "cryptsetup-bin", "libzstd1", "liblz4-1",
)  # fmt: skip
_OWN: dict[Arch, tuple[str, ...]] = {"arm64": (), "amd64": ("grub-common",)}
# Debian's are older than what pyproject.toml asks for.
_WHEELS = ("cryptography", "requests", "urllib3")
_PLATFORMS: dict[Arch, str] = {"arm64": "aarch64", "amd64": "x86_64"}
_MERGED = ("bin", "sbin", "lib", "lib64")
# Mount points and places of /var that are made at boot, or by the kernel.
_DIRECTORIES = (
    "boot/firmware", "dev", "proc", "sys", "run", "tmp", "var", "root", "mnt", "media", "srv", "etc/systemd/system",
    "etc/systemd/system-generators",
)  # fmt: skip
_OURS = tuple(Path(__file__).with_name(name) for name in ("root.py", "root_files.py"))


def root(arch: Arch) -> Path:
    """Makes it, unless that was done before; nobody may change what is in it."""
    wheels = _wheels(arch)
    debs = fetch(arch, _PACKAGES + _OWN[arch])
    key: list[str | bytes] = [debs.name, wheels.name, *(path.read_bytes() for path in _OURS)]
    return cached(f"root-{arch}", key, lambda path: _make(path, debs, wheels))


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file, in place of a link too, and makes its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(mode)


def enable(tree: Path, units: Sequence[str]) -> None:
    """Does what ``systemctl enable`` does in the guest."""
    _run("systemctl", f"--root={tree}", "enable", "--quiet", *units)


def make_users(tree: Path) -> None:
    """Makes the users and groups of ``sysusers.d``."""
    _run("systemd-sysusers", f"--root={tree}")


def compile_python(tree: Path, *places: str) -> None:
    """Compiles modules, as packages do: a read-only root cannot keep what Python compiles.

    Raises:
        RuntimeError: there is no Python here that compiles for that of the guest.
    """
    version = next((tree / "usr/bin").glob("python3.[0-9]*")).name
    found = sys.executable if version == f"python3.{sys.version_info.minor}" else shutil.which(version)
    if found is None:
        raise RuntimeError(f"{version} is needed, which the guest has")
    workers = str(os.cpu_count())
    where = [tree / place for place in places]
    _run(found, "-I", "-m", "compileall", "-q", "-j", workers, "-s", tree, "-p", "/", *where)


def _wheels(arch: Arch) -> Path:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    wanted = [wheel for wheel in asked if wheel.startswith(_WHEELS)]
    platforms = [f"--platform=manylinux{name}_{_PLATFORMS[arch]}" for name in ("2014", "_2_28", "_2_34")]
    options = [
        "--only-binary=:all:",
        "--implementation=cp",
        "--python-version=3.11",
        "--abi=cp311",
        "--abi=abi3",
        "--abi=none",
    ]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options, *platforms]
    return cached(f"wheels-{arch}", [*command[4:], *wanted], lambda path: _run(*command, "--dest", path, *wanted))


def _make(path: Path, debs: Path, wheels: Path) -> None:
    path.mkdir()
    for name in _MERGED:
        (path / "usr" / name).mkdir(parents=True)
        (path / name).symlink_to(f"usr/{name}")
    for name in _DIRECTORIES:
        (path / name).mkdir(parents=True, exist_ok=True)
    unpack(debs, path, LEFT_OUT)
    packages = path / "usr/lib/python3/dist-packages"
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(packages)
    _settle(path)
    compile_python(path, "usr/lib/python3.11", "usr/lib/python3/dist-packages")


def _settle(path: Path) -> None:
    """What maintainer scripts do, and what makes a board of it."""
    for name in ("passwd", "group"):
        shutil.copy(path / f"usr/share/base-passwd/{name}.master", path / "etc" / name)
    for name, text in FILES.items():
        write(path / name, text, 0o755 if text.startswith("#!") else 0o644)
    for name, target in LINKS.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(target)
    for unit in MASKED:
        (path / "etc/systemd/system" / unit).symlink_to("/dev/null")
    for name in GENERATORS:
        (path / f"etc/systemd/system-generators/systemd-{name}-generator").symlink_to("/dev/null")
    make_users(path)
    (path / "etc/shadow").chmod(0o600)
    enable(path, ENABLED)
    _run("journalctl", f"--root={path}", "--update-catalog")
    (path / "tmp").chmod(0o1777)
    _run("systemd-tmpfiles", f"--root={path}", "--create", "--prefix=/etc/polkit-1")


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
