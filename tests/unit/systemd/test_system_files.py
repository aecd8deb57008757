"""Promises of the files for systemd and D-Bus: they parse, fit together, and fit the code."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from agent import config
from agent.config_table import SETTINGS
from agent.daemon.dbus_names import BUS_NAME, MANAGER

SYSTEMD = Path(__file__).parents[3] / "systemd"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, delimiters="=", comment_prefixes="#")
    parser.optionxform = str
    parser.read_string((SYSTEMD / name).read_text())
    return parser


def test_the_folder_is_no_python_package():
    assert not (SYSTEMD / "__init__.py").exists(), "it would hide systemd-python"


@pytest.mark.req("C09")
def test_the_service_is_confined_and_can_still_do_its_work():
    service = unit("ota-agent.service")["Service"]
    assert service["ExecStart"] == "/usr/bin/ota-agent daemon"
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["RestrictNamespaces"] == "net", "the installer gives up its network"
    assert "AF_INET" in service["RestrictAddressFamilies"]
    assert {"CAP_SETUID", "CAP_SETGID", "CAP_KILL"} <= set(service["CapabilityBoundingSet"].split()), "the fetcher"
    for forbidden in ("PrivateDevices", "PrivateNetwork", "PrivateTmp", "MemoryDenyWriteExecute", "ProtectClock"):
        assert forbidden not in service


@pytest.mark.req("C09")
def test_programs_of_bundles_need_a_drop_in_that_widens_the_sandbox_by_what_they_need_only():
    service, dropin = unit("ota-agent.service")["Service"], unit("ota-agent-hooks.conf")["Service"]
    assert dropin["RestrictNamespaces"] == "net mnt pid"
    assert dropin["SystemCallFilter"] == "@mount"
    assert "@mount" not in service["SystemCallFilter"]
    assert set(dropin) == {"RestrictNamespaces", "SystemCallFilter", "CapabilityBoundingSet"}
    assert not set(dropin["CapabilityBoundingSet"].split()) & set(service["CapabilityBoundingSet"].split())


@pytest.mark.req("C09")
def test_archives_need_a_drop_in_that_widens_the_sandbox_by_what_they_need_only():
    service, dropin = unit("ota-agent.service")["Service"], unit("ota-agent-archives.conf")["Service"]
    assert set(dropin) == {"SystemCallFilter", "CapabilityBoundingSet", "RestrictSUIDSGID"}
    assert dropin["SystemCallFilter"].split()[0] == "@mount"
    assert not set(dropin["CapabilityBoundingSet"].split()) & set(service["CapabilityBoundingSet"].split())


@pytest.mark.req("C09")
def test_media_need_a_drop_in_that_widens_the_sandbox_by_what_they_need_only():
    dropin = unit("ota-agent-media.conf")["Service"]
    assert set(dropin) == {"SystemCallFilter", "RestrictAddressFamilies", "CapabilityBoundingSet"}
    assert dropin["SystemCallFilter"].split()[0] == "@mount"
    assert dropin["RestrictAddressFamilies"] == "AF_NETLINK"
    assert set(dropin["CapabilityBoundingSet"].split()) == {"CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"}


@pytest.mark.req("C09")
def test_flash_memory_needs_a_drop_in_that_widens_the_sandbox_by_what_it_needs_only():
    service, dropin = unit("ota-agent.service")["Service"], unit("ota-agent-flash.conf")["Service"]
    assert set(dropin) == {"CapabilityBoundingSet", "ProtectKernelTunables"}
    assert dropin["ProtectKernelTunables"] == "no" != service["ProtectKernelTunables"]
    assert not set(dropin["CapabilityBoundingSet"].split()) & set(service["CapabilityBoundingSet"].split())


def test_variables_of_the_firmware_need_a_drop_in_that_opens_nothing_else():
    service, dropin = unit("ota-agent.service")["Service"], unit("ota-agent-efi.conf")["Service"]
    (path,) = [row.default for row in SETTINGS if (row.section, row.key) == ("bootloader", "efivars")]
    assert dict(dropin) == {"ReadWritePaths": path, "CapabilityBoundingSet": "CAP_LINUX_IMMUTABLE"}
    assert service["ProtectKernelTunables"] == "yes"


def test_the_lock_of_barebox_state_needs_a_drop_in_that_opens_nothing_else():
    dropin = unit("ota-agent-barebox.conf")["Service"]
    assert dropin["ReadWritePaths"] == "/run/barebox-state.lock"
    assert dict(dropin) == {
        "ExecStartPre": f"+/usr/bin/touch {dropin['ReadWritePaths']}", "ReadWritePaths": dropin["ReadWritePaths"]
    }  # fmt: skip


def test_the_state_directory_is_that_of_the_settings():
    service = unit("ota-agent.service")["Service"]
    defaults = {row.key: row.default for row in SETTINGS if row.section == "system"}
    assert defaults["state-dir"] == f"/var/lib/{service['StateDirectory']}"
    assert service["StateDirectoryMode"] == "0700"


def test_systemd_itself_finds_nothing_wrong(tmp_path):
    """Where systemd-analyze is there; everywhere else the other tests read the file."""
    analyze = shutil.which("systemd-analyze")
    text = (SYSTEMD / "ota-agent.service").read_text()
    assert re.fullmatch(r"(\[\w+\]|[A-Z]\w+=.*|#.*|)(\n(\[\w+\]|[A-Z]\w+=.*|#.*|))*", text)
    if analyze:
        path = tmp_path / "ota-agent.service"
        path.write_text(text.replace("/usr/bin/ota-agent daemon", "/bin/true").replace("man:ota-agent(1)", "man:sh(1)"))
        done = subprocess.run(
            [analyze, "verify", "--man=no", "--recursive-errors=no", str(path)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert "ota-agent.service" not in done.stderr, done.stderr
        assert done.returncode == 0, done.stderr


def test_activation_starts_the_service():
    activation = unit("org.otaagent.Agent1.service")["D-BUS Service"]
    assert activation["Name"] == unit("ota-agent.service")["Service"]["BusName"] == BUS_NAME
    assert activation["SystemdService"] == "ota-agent.service"
    assert activation["User"] == "root"


@pytest.mark.req("T25")
def test_the_policy_names_no_interface_of_ours_for_everybody():
    default = re.search(
        r'<policy context="default">(.*?)</policy>', (SYSTEMD / f"{BUS_NAME}.conf").read_text(), re.DOTALL
    )
    assert default
    assert MANAGER not in default[1]
    assert "Set" not in default[1]


def test_the_example_configuration_is_right_and_complete():
    path = SYSTEMD / "ota-agent.toml"
    loaded = config.load([path])
    assert [slot.bootname for slot in loaded.slots if slot.bootname] == ["A", "B"]
    document = tomllib.loads(path.read_text())
    assert set(document) | {"bundle", "encryption", "media"} == {row.section.split(".")[0] for row in SETTINGS}
    users = (SYSTEMD / "ota-agent.sysusers").read_text()
    assert re.search(rf"^u {loaded.fetcher.user} ", users, re.MULTILINE)


def test_temporary_files_and_users_are_understood_by_systemd(tmp_path):
    root = tmp_path / "root"
    (root / "etc" / "ota-agent").mkdir(parents=True)
    token = root / "etc" / "ota-agent" / "target.token"
    token.write_text("x")
    token.chmod(0o644)
    for name, tool in (("ota-agent.sysusers", "systemd-sysusers"), ("ota-agent.tmpfiles", "systemd-tmpfiles")):
        lines = [line for line in (SYSTEMD / name).read_text().splitlines() if line and not line.startswith("#")]
        assert all(re.match(r"[udz] \S+ \S+ ", line) for line in lines)
        program = shutil.which(tool)
        if program:
            action = ["--create"] if tool == "systemd-tmpfiles" else []
            subprocess.run([program, f"--root={root}", *action, SYSTEMD / name], check=True, capture_output=True)
            if tool == "systemd-sysusers":
                assert "ota-fetcher:" in (root / "etc" / "passwd").read_text()
                (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
            else:
                assert token.stat().st_mode & 0o777 == 0o600
