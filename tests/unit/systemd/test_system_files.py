"""Promises of the files for systemd and D-Bus: they parse, fit together, and fit the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agent import config
from agent.__main__ import _PROGRAMS
from agent.bus.access import GROUP
from agent.bus.interface import read
from agent.bus.introspection import FREE
from agent.config_table import SETTINGS
from agent.daemon.dbus_names import BUS_NAME

SYSTEMD = Path(__file__).parents[3] / "systemd"
SOCKETS = [
    ("ota-agent-fetch", "fetcher", "fetcher"),
    ("ota-agent-install", "installer", "installer"),
    ("ota-agent-find", "media", "finder"),
]


def unit(name: str) -> dict[str, dict[str, str]]:
    """Sections and their settings; what is assigned repeatedly is one text, as for systemd the lists add up."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in (SYSTEMD / name).read_text().splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            current[key] = f"{current[key]} {value}" if key in current else value
    return sections


def units_in(directory: Path) -> list[Path]:
    """Copies of all units, as files that systemd finds side by side."""
    names = [each for each in SYSTEMD.iterdir() if each.suffix in (".service", ".socket", ".timer")]
    return [Path(shutil.copy(each, directory)) for each in names if each.name.startswith("ota-agent")]


def test_the_folder_is_no_python_package():
    assert not (SYSTEMD / "__init__.py").exists(), "it would hide systemd-python"


@pytest.mark.req("C09")
def test_the_service_is_confined_and_can_still_do_its_work():
    service = unit("ota-agent.service")["Service"]
    assert service["ExecStart"] == "/usr/bin/ota-agent daemon"
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert "AF_INET" not in service["RestrictAddressFamilies"], "the fetcher has a unit of its own"
    assert service["CapabilityBoundingSet"] == "CAP_DAC_READ_SEARCH"
    for forbidden in ("PrivateDevices", "PrivateNetwork", "PrivateTmp", "MemoryDenyWriteExecute", "ProtectClock"):
        assert forbidden not in service


@pytest.mark.req("C09")
def test_the_watchdog_costs_at_most_one_wake_up_in_half_a_minute():
    assert int(unit("ota-agent.service")["Service"]["WatchdogSec"]) >= 60


@pytest.mark.req("C15")
@pytest.mark.parametrize(("name", "section", "program"), SOCKETS)
def test_a_socket_is_where_the_daemon_looks_and_for_root_only(name: str, section: str, program: str):
    listening = unit(f"{name}.socket")["Socket"]
    (path,) = [row.default for row in SETTINGS if (row.section, row.key) == (section, "socket")]
    assert (listening["ListenStream"], listening["SocketMode"], listening["Accept"]) == (path, "0600", "yes")
    service = unit(f"{name}@.service")["Service"]
    assert service["ExecStart"] == f"/usr/bin/ota-agent {program}"
    assert (service["StandardInput"], service["StandardOutput"]) == ("socket", "null"), (
        "else it would write to the daemon"
    )
    wanted = name + ".socket" in unit("ota-agent.service")["Unit"]["Wants"].split()
    assert wanted is (section != "media"), "a device that looks at no media has no need of a finder"


@pytest.mark.req("C15")
def test_who_has_the_network_has_no_device_and_who_has_devices_has_no_network():
    fetch, install = unit("ota-agent-fetch@.service")["Service"], unit("ota-agent-install@.service")["Service"]
    assert (fetch["DynamicUser"], fetch["PrivateDevices"], fetch["ProtectSystem"]) == ("yes", "yes", "strict")
    assert not {"ReadWritePaths", "StateDirectory", "DeviceAllow"} & set(fetch)
    assert (install["PrivateNetwork"], install["RestrictAddressFamilies"]) == ("yes", "AF_UNIX")
    assert (install["DevicePolicy"], install["DeviceAllow"]) == ("closed", "block-* rw")
    assert fetch["CapabilityBoundingSet"] == install["CapabilityBoundingSet"] == ""


def test_never_two_installers_write():
    assert unit("ota-agent-install.socket")["Socket"]["MaxConnections"] == "1"


@pytest.mark.req("C09")
@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("hooks", {"RestrictNamespaces", "SystemCallFilter", "CapabilityBoundingSet", "MemoryDenyWriteExecute"}),
        ("archives", {"SystemCallFilter", "CapabilityBoundingSet", "RestrictSUIDSGID"}),
        ("flash", {"CapabilityBoundingSet", "DeviceAllow", "ProtectKernelTunables"}),
    ],
)
def test_what_only_some_slots_need_is_a_drop_in_of_the_installer(name: str, opened: set[str]):
    service, dropin = unit("ota-agent-install@.service")["Service"], unit(f"ota-agent-{name}.conf")["Service"]
    assert set(dropin) == opened
    assert "@mount" not in service["SystemCallFilter"]
    for key in opened - {"SystemCallFilter", "CapabilityBoundingSet", "DeviceAllow"}:
        assert dropin[key] != service[key]
    assert (
        f"/etc/systemd/system/ota-agent-install@.service.d/{name}.conf"
        in (SYSTEMD / f"ota-agent-{name}.conf").read_text()
    )


def test_checks_that_use_the_network_are_a_drop_in_of_the_daemon():
    dropin = unit("ota-agent-health.conf")["Service"]
    assert dict(dropin) == {"RestrictAddressFamilies": "AF_INET AF_INET6", "IPAddressDeny": ""}
    assert unit("ota-agent.service")["Service"]["IPAddressDeny"] == "any"


@pytest.mark.req("C09", "C15")
def test_who_mounts_a_strangers_medium_can_write_nothing_and_reach_nobody():
    find, daemon = unit("ota-agent-find@.service")["Service"], unit("ota-agent.service")["Service"]
    assert set(find["CapabilityBoundingSet"].split()) == {"CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"}
    assert (find["DevicePolicy"], find["DeviceAllow"]) == ("closed", "block-* r")
    assert (find["PrivateNetwork"], find["RestrictAddressFamilies"], find["ProtectSystem"]) == (
        "yes",
        "AF_UNIX",
        "strict",
    )
    assert not {"ReadWritePaths", "StateDirectory"} & set(find)
    assert set(find["SystemCallFilter"].split()) == {
        "@system-service", "~@privileged", "@resources", "fsopen", "fsconfig", "fsmount"
    }  # fmt: skip
    assert "AF_NETLINK" in daemon["RestrictAddressFamilies"].split(), "the daemon hears what is plugged in"


@pytest.mark.req("C15")
def test_any_unit_can_veto_a_boot():
    veto = unit("ota-agent-boot-complete.service")
    assert veto["Unit"]["Requires"] == veto["Unit"]["After"] == "boot-complete.target"
    assert veto["Unit"]["DefaultDependencies"] == "no", (
        "a veto may come after multi-user.target, which must not wait for us"
    )
    assert "ota-agent-boot-complete.service" in unit("ota-agent.service")["Unit"]["Wants"].split()


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


def test_the_notice_lies_in_the_runtime_directory_where_everybody_may_read_it():
    service = unit("ota-agent.service")["Service"]
    defaults = {row.key: row.default for row in SETTINGS if row.section == "system"}
    assert defaults["run-dir"] == f"/run/{service['RuntimeDirectory']}"
    assert service["RuntimeDirectoryMode"] == "0755"


def test_systemd_itself_finds_nothing_wrong(tmp_path: Path):
    for path in units_in(tmp_path):
        text = path.read_text()
        path.write_text(
            re.sub(r"^ExecStart=/usr/(bin|lib)/ota-agent.*", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", *sorted(tmp_path.iterdir())],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_it_ends_before_the_bus_that_its_restart_needs():
    assert "dbus.service" in unit("ota-agent.service")["Unit"]["After"].split()


def test_activation_starts_the_service():
    activation = unit("org.otaagent.Agent1.service")["D-BUS Service"]
    assert activation["Name"] == unit("ota-agent.service")["Service"]["BusName"] == BUS_NAME
    assert activation["SystemdService"] == "ota-agent.service"
    assert activation["User"] == "root"


@pytest.mark.req("T25")
def test_everybody_may_ask_and_only_root_may_be_asked():
    root = ElementTree.parse(SYSTEMD / f"{BUS_NAME}.conf").getroot()
    rules = {
        tuple(policy.attrib.items()): [(rule.tag, dict(rule.attrib)) for rule in policy]
        for policy in root.findall("policy")
    }
    assert rules == {
        (("context", "default"),): [("deny", {"own": BUS_NAME}), ("allow", {"send_destination": BUS_NAME})],
        (("user", "root"),): [("allow", {"own": BUS_NAME})],
    }


def test_every_action_of_the_interface_is_explained_to_polkit_and_no_other():
    actions = ElementTree.parse(SYSTEMD / f"{BUS_NAME}.policy").getroot().findall("action")
    wanted = {row.access for each in read() for row in each.methods} - {FREE}
    assert {each.get("id") for each in actions} == {f"org.otaagent.agent1.{name}" for name in wanted}
    for each in actions:
        message = each.findtext("message", "")
        assert message.startswith("Authentication is required to ")
        assert message.count(". ") >= 1, "it says what the consequence is"


@pytest.mark.req("C04")
def test_who_sits_in_front_of_the_device_decides_and_an_administrator_does_what_could_hurt_it():
    actions = ElementTree.parse(SYSTEMD / f"{BUS_NAME}.policy").getroot().findall("action")
    defaults = {
        str(each.get("id")).rpartition(".")[2]: [item.text for item in each.findall("defaults/*")] for each in actions
    }
    mild, grave = ["auth_admin", "auth_admin", "yes"], ["auth_admin", "auth_admin", "auth_admin_keep"]
    assert defaults == {
        **dict.fromkeys(("check", "consent", "policy"), mild),
        **dict.fromkeys(("install", "cancel", "scrub", "mark", "audit"), grave),
    }


def test_the_example_configuration_is_right_and_complete():
    path = SYSTEMD / "ota-agent.toml"
    loaded = config.load([path])
    assert [slot.bootname for slot in loaded.slots if slot.bootname] == ["A", "B"]
    document = tomllib.loads(path.read_text())
    assert set(document) | {"audit", "bundle", "encryption", "installer", "media"} == {
        row.section.split(".")[0] for row in SETTINGS
    }
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
        assert all(re.match(r"[ugdz] \S+ \S+ ", line) for line in lines)
        program = shutil.which(tool)
        if program:
            action = ["--create"] if tool == "systemd-tmpfiles" else []
            subprocess.run([program, f"--root={root}", *action, SYSTEMD / name], check=True, capture_output=True)
            if tool == "systemd-sysusers":
                assert "ota-fetcher:" in (root / "etc" / "passwd").read_text()
                assert f"{GROUP}:" in (root / "etc" / "group").read_text()
                (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
            else:
                assert token.stat().st_mode & 0o777 == 0o600


def test_every_program_that_a_unit_starts_is_known_to_the_entry_of_the_package():
    scripts = tomllib.loads((SYSTEMD.parent / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["ota-agent"] == "agent.__main__:main"
    started = {
        found[1]
        for path in SYSTEMD.glob("*.service")
        for found in re.finditer(r"^ExecStart=/usr/bin/ota-agent (\S+)", path.read_text(), re.MULTILINE)
    }
    assert {"daemon", "fetcher", "installer"} <= started
    for program in started - {"daemon"}:
        assert program in _PROGRAMS, program
