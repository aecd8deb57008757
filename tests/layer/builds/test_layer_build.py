"""From the recipes to packages, a disk and a bundle, with OpenEmbedded's own classes."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config import load
from layer import imports
from layer.builds.products import Products, digest
from layer.oe.lab import Lab
from layer.paths import ROOT

UNITS = "/etc/systemd/system"


def test_no_check_of_a_package_finds_anything(products: Products) -> None:
    assert [line for line in products.said.splitlines() if "QA Issue" in line and "host-" not in line] == []


def test_the_agent_is_private_and_has_its_byte_code(products: Products) -> None:
    files = products.package("ota-agent")
    assert "/usr/bin/ota-agent" in files
    assert "/usr/lib/ota-agent/agent/daemon/main.py" in files
    assert {name for name in files if not name.startswith(("/usr/lib/ota-agent/", "/usr/bin/"))} == set()
    sources = {name for name in files if name.endswith(".py")}
    assert {
        re.sub(r"__pycache__/(\w+)\.[\w-]+\.pyc$", r"\1.py", name) for name in files if name.endswith(".pyc")
    } == sources


def test_neither_the_demo_nor_the_host_tool_gets_onto_a_device(products: Products) -> None:
    everything = (
        products.package("ota-agent") | products.package("ota-agent-service") | products.package("ota-agent-fetch")
    )
    assert not [name for name in everything if "/agent/demo/" in name or "/agent/bundler/" in name]


def test_whoever_is_updated_from_files_alone_needs_no_fetcher(products: Products) -> None:
    assert not [name for name in products.package("ota-agent") if "fetch" in name and "/agent/fetcher/" in name]
    assert [name for name in products.package("ota-agent-fetch") if "/agent/fetcher/" in name]


def test_the_launcher_is_isolated(products: Products) -> None:
    first = products.read("/usr/bin/ota-agent").splitlines()[0]
    assert re.fullmatch(r"#!/usr/bin/python3 -I\w*", first)
    assert products.mode("/usr/bin/ota-agent") & 0o111


def test_units_are_there_and_enabled(products: Products) -> None:
    assert "ota-agent.service" in products.names("/usr/lib/systemd/system")
    enabled = {
        f"{folder}/{unit}"
        for folder in products.names(UNITS)
        if folder.endswith(".wants")
        for unit in products.names(f"{UNITS}/{folder}")
    }
    assert {"multi-user.target.wants/ota-agent.service", "sockets.target.wants/ota-agent-install.socket"} <= enabled
    for name in enabled:
        assert products.link(f"{UNITS}/{name}").startswith("/usr/lib/systemd/system/")


def test_the_users_that_units_name_are_in_the_image(products: Products) -> None:
    """systemd-sysusers cannot make them where the root file system is read-only."""
    users = {line.split(":")[0] for line in products.read("/etc/passwd").splitlines()}
    groups = {line.split(":")[0] for line in products.read("/etc/group").splitlines()}
    assert "ota-fetcher" in users
    assert "ota-agent" in groups


def test_the_interface_on_the_bus_is_installed(products: Products) -> None:
    assert "org.otaagent.Agent1.conf" in products.names("/usr/share/dbus-1/system.d")
    assert "org.otaagent.Agent1.policy" in products.names("/usr/share/polkit-1/actions")


def test_the_root_file_system_is_whole_and_nothing_in_it_is_written_to(products: Products) -> None:
    subprocess.run(["e2fsck", "-f", "-n", products.image], check=True, capture_output=True)
    features = subprocess.run(["dumpe2fs", "-h", products.image], check=True, capture_output=True, text=True).stdout
    assert "has_journal" not in features
    assert re.search(r"^/dev/root\s+/\s+auto\s+ro\s", products.read("/etc/fstab"), re.MULTILINE)


def test_slot_a_of_the_disk_is_the_image_of_the_bundle_to_the_byte(products: Products) -> None:
    label = products.variables["OTA_AB_LABEL_A"]
    size = products.image.stat().st_size
    assert hashlib.sha256(products.partition(label, size)).hexdigest() == digest(products.image)
    (image,) = products.bundled().glob("*.ext4")
    assert digest(image) == digest(products.image)


def test_the_rest_of_the_slots_is_empty(products: Products) -> None:
    label = products.variables["OTA_AB_LABEL_B"]
    assert not products.partition(label).strip(b"\0")


def test_the_partitions_are_those_that_the_variables_describe(products: Products) -> None:
    get = products.variables
    names = ["BOOT", "A", "B", "DATA"]
    assert list(products.partitions) == [get[f"OTA_AB_LABEL_{name}"] for name in names]
    assert [each["uuid"].lower() for each in products.partitions.values()] == [
        get[f"OTA_AB_UUID_{name}"] for name in names
    ]


def test_the_agents_configuration_in_the_image_is_that_of_the_disk(products: Products, tmp_path: Path) -> None:
    path = tmp_path / "50-layout.toml"
    path.write_text(products.read("/usr/lib/ota-agent/50-layout.toml"))
    main = tmp_path / "ota-agent.toml"
    main.write_text(products.read("/etc/ota-agent/ota-agent.toml"))
    config = load([path, main], secrets=False)
    slots = [products.variables["OTA_AB_LABEL_A"], products.variables["OTA_AB_LABEL_B"]]
    assert [slot.device for slot in config.slots] == [f"partlabel:{label}" for label in slots]
    assert set(slots) <= set(products.partitions)
    assert config.system.compatible == manifest(products)["update"]["compatible"]


def test_the_keyring_in_the_image_is_the_one_of_the_distribution(products: Products) -> None:
    assert products.read("/etc/ota-agent/ca.pem") == (products.lab.keys / "signer.pem").read_text()


def test_the_boot_partition_starts_the_slots_that_the_disk_has(products: Products) -> None:
    get = products.variables
    name = "EFI/BOOT/ota-board.cfg" if get["OTA_BOOTLOADER"] == "grub" else "boot.scr"
    text = products.boot_file(name).decode("latin-1")
    for slot in ("A", "B"):
        assert f'ota_args_{slot}="root=PARTUUID={get[f"OTA_AB_UUID_{slot}"]}"' in text


def test_state_lies_on_the_data_partition(products: Products) -> None:
    fstab = products.read("/etc/fstab")
    assert f"PARTUUID={products.variables['OTA_AB_UUID_DATA']}" in fstab
    assert re.search(r"^\S+/state /var/lib/ota-agent none bind", fstab, re.MULTILINE)


def test_rauc_takes_the_bundle(products: Products) -> None:
    keyring = products.lab.keys / "signer.pem"
    done = subprocess.run(
        ["rauc", "info", f"--keyring={keyring}", products.bundle], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert manifest(products)["update"]["compatible"] in done.stdout


def test_our_own_tool_takes_the_bundle(products: Products) -> None:
    command = [
        sys.executable,
        "-m",
        "agent.bundler.cli",
        "verify",
        "--keyring",
        products.lab.keys / "signer.pem",
        products.bundle,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.req("C20")
def test_the_bundle_names_the_bill_of_materials_that_lies_beside_it(products: Products) -> None:
    named = manifest(products)["meta.cra"]["sbom-sha256"]
    documents = [path for path in products.workspace.deployed.iterdir() if ".spdx" in path.name]
    assert named in {digest(path) for path in documents}


def test_the_table_of_standard_modules_is_that_of_the_release(lab: Lab) -> None:
    """Every module that the agent imports lies in the package that tests/layer/imports.py says."""
    owners = {}
    for package, paths in lab.checkout.python_packages.items():
        for path in paths:
            if found := re.search(r"python\$\{PYTHON_MAJMIN\}/(?:lib-dynload/_?)?(\w+)", path):
                owners.setdefault(found[1], set()).add(package)
    wanted = {name.partition(".")[0] for name in imports.modules(imports.files(*imports.OURS))}
    known = {name: owners[name] for name in wanted & set(owners) & sys.stdlib_module_names}
    wrong = {name: held for name, held in known.items() if imports.STANDARD.get(name, "python3-core") not in held}
    # From wrynose on these are in python3-core; to depend on python3-fcntl and python3-shell as well costs nothing.
    assert set(wrong) <= {"fcntl", "glob"}
    assert all(held == {"python3-core"} for held in wrong.values())
    assert len(known) > 20


def manifest(products: Products) -> configparser.ConfigParser:
    """Of the bundle."""
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read(os.fspath(products.bundled() / "manifest.raucm"))
    return parsed
