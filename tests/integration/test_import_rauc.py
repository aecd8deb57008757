"""A device that moves from RAUC: what RAUC's own service says of its configuration, the imported one says, too."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pki.build import shared_pki
from support.boot_environments import make_uboot
from support.rauc_bus import rauc_at, rauc_service

import agent
from agent import config
from agent.daemon.device import look_at

ENTRY = Path(agent.__file__).with_name("__main__.py")
MORE = """
[slot.appfs.0]
device={folder}/app0
type=ext4
parent=rootfs.0
[slot.appfs.1]
device={folder}/app1
type=ext4
parent=rootfs.1
[streaming]
sandbox-user=nobody
"""
CLIENT = """
[client]
hawkbit_server = hawkbit.example.com:8443
target_name = device-7
auth_token = cb115a721af28f78
stream_bundle = true
[device]
hw_revision = 2
"""
PLACES = """
[system]
cmdline = "cmdline"
os-release = "os-release"
boot-id = "boot-id"
[bootloader]
fw-env-config = "fw_env.config"
lock-file = "lock"
"""


def imported(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", str(ENTRY), "config", "import-rauc", *map(str, arguments)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def board(tmp_path: Path) -> dict[str, Path]:
    """Slots in files and a U-Boot environment; returns the root slots by boot name."""
    make_uboot(tmp_path, "BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n")
    for name in ("root0", "root1", "app0", "app1"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 20)
    (tmp_path / "cmdline").write_text("quiet rauc.slot=A\n")
    (tmp_path / "os-release").write_text("VERSION_ID=1.0.0\n")
    (tmp_path / "boot-id").write_text("0123\n")
    (tmp_path / "places.toml").write_text(PLACES)
    (tmp_path / "config.conf").write_text(CLIENT)
    return {"A": tmp_path / "root0", "B": tmp_path / "root1"}


def seen_by_rauc(folder: Path, address: str) -> dict[str, Any]:
    done = rauc_at(address, "status", "--output-format=json")
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    said["slots"] = {name: facts for slot in said["slots"] for name, facts in slot.items()}
    return said


@pytest.mark.req("C44")
def test_the_imported_device_is_the_one_that_rauc_sees(tmp_path: Path, board: dict[str, Path]) -> None:
    theirs, output = tmp_path / "rauc", tmp_path / "ota-agent.toml"
    keyring = shared_pki().keyring(tmp_path)
    place = {"compatible": "Example Board", "keyring": keyring, "more": MORE.format(folder=tmp_path)}
    with rauc_service(theirs, board, tmp_path / "fw_env.config", **place) as address:
        said = seen_by_rauc(theirs, address)
    done = imported(theirs / "system.conf", tmp_path / "config.conf", "--output", output)
    assert (done.returncode, done.stderr) == (0, "config check accepts it\n")

    loaded = config.load([output, tmp_path / "places.toml"])
    device = look_at(loaded)
    assert device.compatible == said["compatible"] == "Example Board"
    assert device.booted.bootname == said["booted"]
    assert device.env.read().primary == said["slots"][said["boot_primary"]]["bootname"]
    ours = {
        slot.name: (slot.slot_class, slot.device, slot.type, slot.bootname, slot.parent)
        for group in device.groups
        for slot in group.slots
    }
    assert ours == {
        name: (facts["class"], facts["device"], facts["type"], facts["bootname"], facts["parent"])
        for name, facts in said["slots"].items()
    }


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A ``system.conf`` and a ``config.conf`` that need nobody."""
    (tmp_path / "config.conf").write_text(CLIENT)
    (tmp_path / "system.conf").write_text(
        "[system]\ncompatible=x\nbootloader=grub\ndata-directory=/data\n[keyring]\npath=/etc/ca.pem\n"
        "[slot.rootfs.0]\ndevice=/dev/a\nbootname=A\n[slot.rootfs.1]\ndevice=/dev/b\nbootname=B\n"
    )
    return tmp_path / "system.conf", tmp_path / "config.conf"


def test_the_token_goes_to_a_file_of_its_own_that_only_its_owner_reads(files: tuple[Path, Path]) -> None:
    output = files[0].with_name("ota-agent.toml")
    done = imported(*files, "--output", output)
    token = output.with_name("target.token")
    assert (token.read_text(), stat.S_IMODE(token.stat().st_mode)) == ("cb115a721af28f78\n", 0o600)
    assert "cb115a721af28f78" not in output.read_text() + done.stdout + done.stderr
    assert config.load([output]).server.target_token_file == token


def test_nothing_is_written_over(files: tuple[Path, Path]) -> None:
    output = files[0].with_name("ota-agent.toml")
    output.with_name("target.token").write_text("older")
    done = imported(*files, "--output", output)
    assert (done.returncode, "[config.import-exists]" in done.stderr) == (2, True)
    assert output.with_name("target.token").read_text() == "older"
    assert not output.exists()


def test_what_cannot_be_written_leaves_nothing_behind(files: tuple[Path, Path]) -> None:
    before = set(files[0].parent.iterdir())
    done = imported(*files, "--output", files[0].with_name("x" * 300))  # NAME_MAX is 255; the token could be written
    assert (done.returncode, "[config.import-unwritable]" in done.stderr) == (2, True)
    assert set(files[0].parent.iterdir()) == before


def test_without_output_the_configuration_is_printed_and_no_token_with_it(files: tuple[Path, Path]) -> None:
    done = imported(*files)
    assert tomllib.loads(done.stdout)["server"]["target-token-file"] == "target.token"
    assert done.returncode == 1
    assert "needs a person: config.conf:5 [client] auth_token: put the token into the file target.token" in done.stderr
    assert "cb115a721af28f78" not in done.stdout + done.stderr


def test_programs_are_told_what_needs_a_person(files: tuple[Path, Path]) -> None:
    with files[0].open("a") as file:
        file.write("[handlers]\npost-install=/bin/true\n[slot.third.0]\ndevice=/dev/a\nparent=rootfs.0\n")
    output = files[0].with_name("ota-agent.toml")
    done = imported(*files, "--output", output, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert answer["ok"] is False
    assert answer["files"] == [str(output), str(output.with_name("target.token"))]
    assert [(each["file"], each["line"], each["key"]) for each in answer["needs"]] == [
        ("system.conf", 14, "post-install")
    ]
    assert answer["refused"] == [
        "the slots of the configuration do not fit together: several slots have the device /dev/a"
    ]
    assert {each["key"] for each in answer["dropped"]} == {"data-directory", "stream_bundle"}


def test_relative_paths_start_where_the_file_is_on_the_device(files: tuple[Path, Path]) -> None:
    files[0].write_text(files[0].read_text().replace("/etc/ca.pem", "ca.pem"))
    done = imported(files[0], "--installed-in", "/etc/rauc")
    assert tomllib.loads(done.stdout)["keyring"]["path"] == "/etc/rauc/ca.pem"


def test_bad_input_is_told_with_its_lines(files: tuple[Path, Path]) -> None:
    with files[0].open("a") as file:
        file.write("[handlers]\npost-instal=/bin/true\n")
    done = imported(*files)
    assert (done.returncode, done.stdout) == (2, "")
    assert "system.conf:14: [handlers] post-instal: unknown key; did you mean post-install?" in done.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = imported(tmp_path / "system.conf", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "config.import-unreadable")
