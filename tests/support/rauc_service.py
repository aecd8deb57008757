"""A real ``rauc install``: rauc's service on its own message bus, in its own mounts, with slots in files. Needs root."""

from __future__ import annotations

import subprocess
from pathlib import Path

SLOT_SIZE = 1024 * 1024

_CONF = """[system]
compatible=demo-board
bootloader=noop
mountprefix={folder}/mnt
statusfile={folder}/rauc.status
[keyring]
path={keyring}
check-purpose=codesign
{slots}
"""
_SLOT = """[slot.{name}]
device={folder}/{name}
type=raw
{more}"""
_SLOTS = {
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


def installed_by_rauc(bundle: Path, keyring: Path, folder: Path) -> dict[str, bytes]:
    """Installs a plain bundle with images for ``rootfs`` and ``appfs``; returns the slots of group B by class.

    Raises:
        AssertionError: rauc failed; with what it said.
    """
    (folder / "mnt").mkdir(parents=True)
    for name in _SLOTS:
        with (folder / name).open("wb") as file:
            file.truncate(SLOT_SIZE)
    slots = "\n".join(_SLOT.format(name=name, folder=folder, more=more) for name, more in _SLOTS.items())
    (folder / "system.conf").write_text(_CONF.format(folder=folder, keyring=keyring, slots=slots))
    script = _SCRIPT.format(folder=folder, bundle=bundle)
    argv = ["unshare", "-m", "dbus-run-session", "--", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{(folder / 'service.log').read_text()}"
    return {name.removesuffix(".1"): (folder / name).read_bytes() for name in _SLOTS if name.endswith(".1")}
