"""What every boot of a container begins with: the host's own root, and above it the agent as a package installs it.

Nothing is fetched and nothing is copied: an overlay makes the layer in a tenth of a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.install_tree import install_tree

ROOT = Path(__file__).parents[3]
HOME = "/usr/lib/ota-agent"
PACKAGES = ("agent", "slots", "bootloader_env")
MACHINE_ID = "6f74612d6167656e7400000000000001"
# Some of the host's units have nothing to do in a container, and cost time at each boot.
_MASKED = (
    "getty.target", "systemd-resolved.service", "systemd-networkd.service", "systemd-networkd.socket",
    "systemd-timesyncd.service", "systemd-udevd.service", "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service", "systemd-firstboot.service", "e2scrub_reap.service",
    "networking.service", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount", "machines.target",
)  # fmt: skip
_PROGRAM = f"""#!{HOME}/venv/bin/python -I
import sys
sys.path.insert(0, {HOME!r})
from agent.__main__ import main
sys.exit(main())
"""
# Somebody without rights, and somebody whom an administrator has made a member of our group.
_USERS = "u person 4711 - /\nu member 4712 - /\ng ota-agent -\nm member ota-agent\n"
_FILES = {
    "etc/machine-id": MACHINE_ID + "\n",
    "etc/hostname": "board\n",
    "etc/fstab": "",
    "usr/lib/sysusers.d/zz-tests.conf": _USERS,
    # Entries shall be there the moment they are asked for, also after a kill.
    "etc/systemd/journald.conf.d/tests.conf": "[Journal]\nSyncIntervalSec=1s\nRateLimitBurst=0\n",
}


@contextmanager
def room() -> Iterator[Path]:
    """A directory in memory for layers, disks and journals: the upper layer of an overlay may not lie on an overlay."""
    with tempfile.TemporaryDirectory(prefix="ota-nspawn-", ignore_cleanup_errors=True) as directory:
        _run("mount", "-t", "tmpfs", "-o", "size=2g,mode=0755", "ota-nspawn", directory)
        try:
            yield Path(directory)
        finally:
            _run("umount", "--lazy", directory)


def make_base(directory: Path, dropins: Sequence[str] = ()) -> Path:
    """Makes the layer in ``directory`` (of ``room``); returns its path.

    Args:
        directory: a new one.
        dropins: of the service, see ``install_tree``.
    """
    base, root = directory / "base", directory / "root"
    for path in (base, root):
        path.mkdir(parents=True)
    with overlay(root, base, directory / "work"):
        installed = install_tree(root, dropins)
        units = root / "etc/systemd/system"
        for unit in _MASKED:
            (units / unit).symlink_to("/dev/null")
        for name, text in _FILES.items():
            write(root / name, text)
        write(root / "usr/bin/ota-agent", _PROGRAM, 0o755)
        for name in (*PACKAGES, "venv"):
            (root / HOME.lstrip("/") / name).mkdir(parents=True)
        enabled = [path.name for path in installed if "\n[Install]\n" in path.read_text("utf-8")]
        _run("systemctl", f"--root={root}", "enable", *enabled)
        _run("systemd-sysusers", f"--root={root}")
        _run("journalctl", f"--root={root}", "--update-catalog")
    # The program is bound read-only, so that it cannot keep what it compiles.
    _run(sys.executable, "-m", "compileall", "-q", *(ROOT / name for name in PACKAGES))
    return base


def program_binds() -> list[str]:
    """Arguments of nspawn that put the checkout where the package would be."""
    sources = {ROOT / name: name for name in PACKAGES} | {Path(sys.prefix): "venv"}
    return [f"--bind-ro={source}:{HOME}/{name}" for source, name in sources.items()]


@contextmanager
def overlay(root: Path, upper: Path, work: Path, layers: Sequence[Path] = ()) -> Iterator[None]:
    """Mounts the host's root with layers above it, the first one on top; what is written goes into ``upper``.

    The host's own choice of services stays outside.
    """
    work.mkdir(exist_ok=True)
    if not layers:
        own = upper / "etc/systemd/system"
        own.mkdir(parents=True, exist_ok=True)
        os.setxattr(own, "trusted.overlay.opaque", b"y")
    lower = ":".join(str(layer) for layer in (*layers, Path("/")))
    _run("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "ota-nspawn", root)
    try:
        yield
    finally:
        _run("umount", "--lazy", root)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a file, in place of a symbolic link too, and makes its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(mode)


def write_all(directory: Path, files: Mapping[str, str]) -> Path:
    """Writes files below a directory, executable ones if they begin as scripts do; returns the directory."""
    for name, text in files.items():
        write(directory / name.lstrip("/"), text, 0o755 if text.startswith("#!") else 0o644)
    return directory


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=120)
