"""The programs that the demo needs besides Python, and which Debian package brings each."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.errors import EnvironmentFault

PACKAGES: Mapping[str, str] = {
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "mksquashfs": "squashfs-tools",
    "fw_printenv": "libubootenv-tool",
    "grub-editenv": "grub-common",
    "dbus-daemon": "dbus",
}
REQUIRED = ("mke2fs", "debugfs", "mksquashfs")
# Debian's PATH of an ordinary user has no sbin, where the file system tools are.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_PATIENCE = 120.0  # seconds


def find(name: str) -> str:
    """Returns the path of a program, or an empty string."""
    return shutil.which(name, path=_PATH) or ""


def bound_to_us() -> list[str]:
    """What to put before a command that must not outlive this process, even when this one is killed."""
    setpriv = find("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def require(names: Iterable[str] = REQUIRED) -> None:
    """Makes sure that the programs are there.

    Raises:
        EnvironmentFault: ``demo.tool-missing``, with all packages to install.
    """
    missing = [name for name in names if not find(name)]
    if missing:
        packages = " ".join(sorted({PACKAGES[name] for name in missing}))
        raise EnvironmentFault(
            "demo.tool-missing", f"the demo needs {', '.join(missing)}", retryable=False,
            resolution=f"sudo apt-get install {packages}",
        )  # fmt: skip


def run(
    name: str, *arguments: str, cwd: Path | None = None, script: str = "", extra: Mapping[str, str] | None = None
) -> bytes:
    """Runs a program and returns its standard output.

    Args:
        name: found by ``find``.
        arguments: no shell is involved.
        cwd: working directory.
        script: given to its standard input.
        extra: added to a small environment.

    Raises:
        EnvironmentFault: ``demo.tool-missing`` or ``demo.tool-failed``.
    """
    require((name,))
    done = subprocess.run(
        [find(name), *arguments],
        input=script.encode(),
        capture_output=True,
        cwd=cwd,
        env={"PATH": _PATH, "LC_ALL": "C.UTF-8", **(extra or {})},
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise EnvironmentFault(
            "demo.tool-failed", f"{name} failed", retryable=False,
            details=f"status {done.returncode}: {done.stderr.decode('utf-8', 'replace').strip()[-500:]}",
        )  # fmt: skip
    return done.stdout
