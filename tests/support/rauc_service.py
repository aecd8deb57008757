"""A real ``rauc install``: rauc's service on its own message bus, in its own mounts, with slots in files. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

SLOT_SIZE = 1024 * 1024

_CONF = """[system]
compatible=demo-board
bootloader=noop
mountprefix={folder}/mnt
statusfile={folder}/rauc.status
{system}
[keyring]
path={keyring}
check-purpose=codesign
{slots}
"""
_SLOT = "[slot.{name}]\ndevice={device}\ntype={kind}\n{group}\n"
_GROUPS = {
    "rootfs.0": "bootname=A",
    "rootfs.1": "bootname=B",
    "appfs.0": "parent=rootfs.0",
    "appfs.1": "parent=rootfs.1",
}
# The service knows the session bus only by this variable; the noop bootloader knows no booted slot.
_SCRIPT = """
export DBUS_STARTER_BUS_TYPE=session
rauc -c {folder}/system.conf --mount={folder}/mnt --override-boot-slot=A service >{folder}/service.log 2>&1 & service=$!
until busctl --user --address="$DBUS_SESSION_BUS_ADDRESS" status de.pengutronix.rauc >/dev/null 2>&1
do kill -0 $service || exit 9; sleep 0.02; done
rauc -c {folder}/system.conf install {bundle}; status=$?
kill $service
exit $status
"""


def rauc_install(
    bundle: Path, keyring: Path, folder: Path, devices: Mapping[str, Path | str], *, root: str = "raw", system: str = ""
) -> None:
    """Installs a plain bundle into group B.

    Args:
        bundle: for the compatible ``demo-board``.
        keyring: whom rauc trusts.
        folder: for its configuration and mounts (``mnt``).
        devices: of the slots ``rootfs.0``, ``rootfs.1``, ``appfs.0`` and ``appfs.1``.
        root: the type of the root slots.
        system: further lines of ``[system]``.

    Raises:
        AssertionError: rauc failed; with what it said.
    """
    (folder / "mnt").mkdir(parents=True)
    slots = "".join(
        _SLOT.format(name=name, device=device, kind=root if name.startswith("rootfs") else "raw", group=_GROUPS[name])
        for name, device in devices.items()
    )
    (folder / "system.conf").write_text(_CONF.format(folder=folder, keyring=keyring, slots=slots, system=system))
    script = _SCRIPT.format(folder=folder, bundle=bundle)
    argv = ["unshare", "-m", "dbus-run-session", "--", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{(folder / 'service.log').read_text()}"


def installed_by_rauc(bundle: Path, keyring: Path, folder: Path) -> dict[str, bytes]:
    """Installs into files; returns what is then in the slots of group B, by class."""
    folder.mkdir(parents=True)
    files = {name: folder / name for name in _GROUPS}
    for path in files.values():
        with path.open("wb") as file:
            file.truncate(SLOT_SIZE)
    rauc_install(bundle, keyring, folder, files)
    return {name.removesuffix(".1"): path.read_bytes() for name, path in files.items() if name.endswith(".1")}
