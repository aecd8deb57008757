"""The layer's disk as a whole device, with Debian's programs: its server updates it, and what the layer made is in effect."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from boot.lab.story import is_updated
from boot.lab.system import System

from layer.builds.products import Products
from layer.builds.whole_device import WholeDevice
from layer.oe.lab import VERSION, Lab
from layer.paths import MACHINES

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module", params=os.environ.get("OE_MACHINES", " ".join(MACHINES)).split())
def device(
    request: pytest.FixtureRequest, lab: Lab, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WholeDevice]:
    """A device of a machine, switched off at first."""
    scratch = tmp_path_factory.mktemp(request.param)
    products = Products.built(lab, request.param, tree, scratch, whole=True)
    with WholeDevice(scratch / "device", products) as device:
        yield device


@pytest.fixture
def running(device: WholeDevice) -> WholeDevice:
    """The device, which may have been updated before."""
    if not device.vm.powered:
        device.power_on()
    return device


@pytest.mark.req("S01")
def test_its_server_updates_it_to_the_bundle_of_the_build(device: WholeDevice) -> None:
    is_updated(device, System(VERSION))
    grub = {"ORDER": "B A", "A_OK": "1", "A_TRY": "0", "A_LEFT": "3", "B_OK": "1", "B_TRY": "0", "B_LEFT": "3"}
    uboot = {"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"}
    assert device.variables == (grub if device.board.arch == "amd64" else uboot)


def test_each_file_system_is_mounted_from_the_partition_that_the_variables_name(running: WholeDevice) -> None:
    get = running.products.variables
    said = json.loads(running.run("findmnt --json --list --output TARGET,PARTUUID,FSROOT,VFS-OPTIONS"))["filesystems"]
    found = {row["target"]: (row["partuuid"], row["fsroot"], row["vfs-options"].split(",")[0]) for row in said}
    boot, data, root = (get[f"OTA_AB_UUID_{name}"] for name in ("BOOT", "DATA", running.started[-1]))
    wanted = {
        "/": (root, "/", "ro"),
        get["OTA_AB_BOOT_MOUNT"]: (boot, "/", "rw"),
        get["OTA_AB_DATA_MOUNT"]: (data, "/", "rw"),
        "/var/lib/ota-agent": (data, "/ota-agent/state", "rw"),
        "/etc/ota-agent/conf.d": (data, "/ota-agent/conf.d", "rw"),
    }
    assert {target: found.get(target) for target in wanted} == wanted


def test_nothing_has_failed_and_the_agents_units_are_up(running: WholeDevice) -> None:
    assert running.run("systemctl list-units --failed --plain --no-legend") == ""
    units = "ota-agent.service ota-agent-fetch.socket ota-agent-install.socket ota-agent-trial.timer"
    assert set(running.run(f"systemctl is-active {units}").split()) == {"active"}


def test_the_last_resort_of_a_trial_looks_where_the_environment_is(running: WholeDevice) -> None:
    places = running.run("systemctl show --value --property=Environment ota-agent-trial.service")
    if running.board.arch == "amd64":
        said = running.run(f"env {places} sh -c 'grub-editenv \"$GRUBENV\" list'").splitlines()
        assert f"ORDER={running.variables['ORDER']}" in said
    else:
        said = running.run(f"env {places} sh -c 'fw_printenv -c \"$FW_ENV_CONFIG\"'").splitlines()
        assert f"BOOT_ORDER={running.variables['BOOT_ORDER']}" in said


def test_the_device_finds_in_itself_only_what_is_known_of_the_machine(running: WholeDevice) -> None:
    _, text = running.ask("ota-agent doctor --json 2>/dev/null")  # on a terminal it tells there what it looks at
    found = {each["id"]: each["found"] for each in json.loads(text)["findings"] if each["severity"] != "note"}
    # QEMU's U-Boot has its environment in a file (OTA_UBOOT_ENV_FILE) with the variables of the boot script alone, and the
    # agent knows nothing of the copy.
    assert set(found) == (set() if running.board.arch == "amd64" else {"boot.redundant", "boot.origin"}), found
