"""Promises of the files for RAUC's interface: it is a service of its own, that can do next to nothing by itself."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from agent.rauc.names import BUS_NAME, INSTALLER

SYSTEMD = Path(__file__).parents[3] / "systemd"
UNIT = "ota-agent-rauc.service"
MOST = 0.5  # of the 10 that systemd-analyze gives


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((SYSTEMD / name).read_text())
    return parser


@pytest.mark.req("C09")
def test_the_service_has_no_privileges_no_network_and_no_devices() -> None:
    service = unit(UNIT)["Service"]
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ""
    assert (service["PrivateNetwork"], service["RestrictAddressFamilies"]) == ("yes", "AF_UNIX")
    assert (service["PrivateDevices"], service["DevicePolicy"]) == ("yes", "closed")
    assert service["User"] not in ("", "root")
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
    assert not [key for key in service if key in ("ReadWritePaths", "StateDirectory")], "it keeps nothing"


@pytest.mark.req("C09")
def test_systemd_rates_it_as_safe() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={MOST * 10:.0f}"]
    done = subprocess.run([*command, str(SYSTEMD / UNIT)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_activation_starts_it_under_the_name_that_rauc_has() -> None:
    activation = unit(f"{BUS_NAME}.service")["D-BUS Service"]
    service = unit(UNIT)["Service"]
    assert activation["Name"] == service["BusName"] == BUS_NAME
    assert (activation["SystemdService"], activation["User"]) == (UNIT, service["User"])


@pytest.mark.req("T25")
def test_only_its_user_may_have_the_name_and_everybody_may_call() -> None:
    text = (SYSTEMD / f"{BUS_NAME}.conf").read_text()
    user = unit(UNIT)["Service"]["User"]
    assert re.findall(r'<policy user="(.*?)">\s*<allow own="(.*?)"/>', text) == [(user, BUS_NAME)]
    assert f'<deny own="{BUS_NAME}"/>' in text
    assert f'send_interface="{INSTALLER}"' in text
    assert "Set" not in text


@pytest.mark.req("C09")
def test_its_user_may_do_what_it_passes_on_and_nothing_else() -> None:
    text = (SYSTEMD / "ota-agent-rauc.rules").read_text()
    user = unit(UNIT)["Service"]["User"]
    assert f'subject.user == "{user}"' in text
    assert re.findall(r"org\.otaagent\.agent1\.[a-z]+", text) == [
        "org.otaagent.agent1.install",
        "org.otaagent.agent1.mark",
    ]
    users = (SYSTEMD / "ota-agent-rauc.sysusers").read_text()
    assert re.search(rf"^u {user} ", users, re.MULTILINE)
    assert re.search(rf"^m {user} ota-agent$", users, re.MULTILINE)


def test_systemd_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    path = tmp_path / UNIT
    path.write_text((SYSTEMD / UNIT).read_text().replace("/usr/bin/ota-agent rauc-service", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert UNIT not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    subprocess.run(
        ["systemd-sysusers", f"--root={root}", str(SYSTEMD / "ota-agent-rauc.sysusers")],
        check=True,
        capture_output=True,
    )
    assert "ota-agent:x:" in (root / "etc/group").read_text()
    assert re.search(r"^ota-agent:.*:ota-rauc$", (root / "etc/group").read_text(), re.MULTILINE)
