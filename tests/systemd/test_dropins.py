"""The drop-ins widen the sandbox by what their purpose needs: with them it works, without them it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.bundles import make_bundle
from support.disks import mounted, run
from support.nspawn.device import Device
from support.nspawn.system import COMPATIBLE, System

from tools.install_tree import dropin

pytestmark = [pytest.mark.root, pytest.mark.slow]
VERSION = "2.0.0"
PROGRAM = """case "$1" in
install-check) echo "fits";;
slot-post-install) echo "$RAUC_SLOT_NAME" >"$RAUC_SLOT_MOUNT_POINT/etc/hooked"; chown 7:8 "$RAUC_SLOT_MOUNT_POINT/etc/hooked";;
esac
"""
WANTS = "hooks=post-install\n\n[hooks]\nfilename=program\nhooks=install-check\n"


@pytest.fixture
def ready(make_device: Callable[..., Device]) -> Callable[..., Device]:
    """A device that is on, with the drop-ins that are named, and that does not restart."""

    def make(*names: str, **settings: object) -> Device:
        device = make_device(files=dict(map(dropin, names)), settings={"update.reboot": False, **settings})
        device.power_on()
        return device

    return make


def installed(device: Device, bundle: Path) -> str:
    """Hands a bundle over; returns the state in which the device has nothing more to do."""
    Path(f"/proc/{device.machine.leader}/root/tmp/update.raucb").write_bytes(bundle.read_bytes())
    done = device.machine.ask("ota-agent", "install", "--wait", "/tmp/update.raucb")
    return device.state if done.returncode == 0 else done.stdout + done.stderr


def hooked(directory: Path) -> Path:
    image = System(VERSION).image(directory / "rootfs.ext4")
    return make_bundle(
        directory, version=VERSION, compatible=COMPATIBLE, image=image, image_type="ext4", extra=WANTS, program=PROGRAM
    )


def test_programs_of_a_bundle_run_with_their_drop_in(ready: Callable[..., Device], tmp_path: Path) -> None:
    device = ready("hooks", **{"bundle.allow-hooks": True})
    assert installed(device, hooked(tmp_path)) == "rebooting"
    device.cut()
    with mounted(device.slots["B"], tmp_path / "slot", "-o", "ro"):
        written = tmp_path / "slot/etc/hooked"
        assert (written.read_text(), written.stat().st_uid, written.stat().st_gid) == ("rootfs.1\n", 7, 8)


def test_an_archive_is_unpacked_with_its_drop_in(ready: Callable[..., Device], tmp_path: Path) -> None:
    device = ready("archives")
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/shop").write_text("open\n")
    (tree / "bin").mkdir()
    (tree / "bin/su").write_text("#!/bin/sh\n")
    (tree / "bin/su").chmod(0o4755)
    run("tar", "-cf", tmp_path / "rootfs.tar", "--owner=5", "--group=6", "-C", tree, ".")
    archive = (tmp_path / "rootfs.tar").read_bytes()
    bundle = make_bundle(tmp_path, version=VERSION, compatible=COMPATIBLE, image=archive, image_type="tar")
    assert installed(device, bundle) == "rebooting"
    device.cut()
    with mounted(device.slots["B"], tmp_path / "slot", "-o", "ro"):
        shop, program = tmp_path / "slot/etc/shop", tmp_path / "slot/bin/su"
        assert (shop.read_text(), shop.stat().st_uid, shop.stat().st_gid) == ("open\n", 5, 6)
        assert program.stat().st_mode & 0o7777 == 0o4755


def test_without_the_drop_in_programs_of_bundles_are_refused_before_anything_is_written(
    ready: Callable[..., Device], tmp_path: Path
) -> None:
    device = ready(**{"bundle.allow-hooks": True})
    before = Path(device.slots["B"]).read_bytes()
    text = installed(device, hooked(tmp_path))
    assert "hooks.conf" in text or "hook." in text, text
    assert Path(device.slots["B"]).read_bytes() == before
