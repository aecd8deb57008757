"""Packages of Debian for any architecture: fetched by an apt of their own, and unpacked without running what is in them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from boot.lab.cache import cached, home

Arch = Literal["arm64", "amd64"]
RELEASE = "bookworm"
_MIRROR = os.environ.get("OTA_BOOT_MIRROR", "http://deb.debian.org")
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SOURCES = f"""\
{{kind}} [signed-by={_KEYS}] {_MIRROR}/debian {RELEASE} main
{{kind}} [signed-by={_KEYS}] {_MIRROR}/debian-security {RELEASE}-security main
"""
_SETTINGS = """\
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Dir "{home}";
Dir::State "state";
Dir::State::status "{home}/status";
Dir::Cache "cache";
Dir::Etc "etc";
"""
_DIRECTORIES = ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d")
_PATIENCE = 900  # seconds


def fetch(arch: Arch, packages: Sequence[str]) -> Path:
    """Fetches packages and all that they depend on; returns a directory with their files.

    Raises:
        RuntimeError: apt says why.
    """

    def make(path: Path) -> None:
        with _apt(arch) as apt:
            apt.run("apt-get", "-q", "-y", "--download-only", "install", *packages)
            apt.hand_over(path)

    return cached(f"debs-{arch}", [RELEASE, *packages], make)


def fetch_alone(arch: Arch, package: str, *, first_dependency: bool = False) -> Path:
    """Fetches one package without what it depends on.

    Args:
        arch: whose packages.
        package: its name.
        first_dependency: it is empty (``linux-image-arm64``): that on which it depends is meant.

    Raises:
        RuntimeError: apt says why.
    """

    def make(path: Path) -> None:
        with _apt(arch) as apt:
            name = apt.first_dependency(package) if first_dependency else package
            apt.run("apt-get", "-q", "download", name)
            apt.hand_over(path)

    return cached(f"deb-{arch}", [RELEASE, package, str(first_dependency)], make)


def fetch_source(package: str) -> Path:
    """Fetches a source package; returns a directory with its files, among them one ``.dsc``.

    Raises:
        RuntimeError: apt says why.
    """

    def make(path: Path) -> None:
        with _apt("arm64", kind="deb-src") as apt:
            apt.run("apt-get", "-q", "source", "--download-only", package)
            apt.hand_over(path, "*")

    return cached("source", [RELEASE, package], make)


def unpack(debs: Path, tree: Path, leave_out: Sequence[str] = ()) -> None:
    """Unpacks all packages of a directory into a tree, with the owners that they name if we are root.

    Args:
        debs: from ``fetch``.
        tree: a symbolic link to a directory in it stays what it is.
        leave_out: patterns of tar for paths that begin with ``./``.
    """
    options = [f"--exclude={pattern}" for pattern in leave_out]

    def one(deb: Path) -> None:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as packed:
            _run(["tar", "-x", "-C", str(tree), "--keep-directory-symlink", *options], stdin=packed.stdout)
        if packed.returncode != 0:
            raise RuntimeError(f"{deb.name} cannot be unpacked")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, sorted(debs.glob("*.deb"))))


class _Apt:
    def __init__(self, directory: Path, arch: Arch, kind: str) -> None:
        self._archives = directory / "cache/archives"
        for name in _DIRECTORIES:
            (directory / name).mkdir(parents=True)
        (directory / "status").touch()
        (directory / "etc/sources.list").write_text(_SOURCES.format(kind=kind))
        settings = directory / "apt.conf"
        settings.write_text(_SETTINGS.format(arch=arch, home=directory))
        self._environment = {**os.environ, "APT_CONFIG": str(settings), "LC_ALL": "C"}

    def run(self, *command: str) -> str:
        return _run(command, env=self._environment, cwd=self._archives)

    def first_dependency(self, package: str) -> str:
        lines = self.run("apt-cache", "depends", package).splitlines()
        return next(line.split()[1] for line in lines if "Depends:" in line)

    def hand_over(self, path: Path, which: str = "*.deb") -> None:
        path.mkdir()
        for file in self._archives.glob(which):
            if file.is_file() and file.name != "lock":
                file.rename(path / file.name)


@contextmanager
def _apt(arch: Arch, kind: str = "deb") -> Iterator[_Apt]:
    # On the file system of the cache, so that packages are moved and not copied.
    with tempfile.TemporaryDirectory(prefix=".apt-", dir=home()) as directory:
        apt = _Apt(Path(directory), arch, kind)
        apt.run("apt-get", "-q", "update")
        yield apt


def _run(command: Sequence[str], **options: object) -> str:
    done = subprocess.run(
        list(command), capture_output=True, text=True, check=False, timeout=_PATIENCE, **options  # type: ignore[call-overload]
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return str(done.stdout)
