"""``ota-agent health``, as a process, on a device in a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.server import DEVICE, TOKEN, running_server

import agent

ENTRY = Path(agent.__file__).with_name("__main__.py")
SETTINGS = """
[system]
compatible = "Test Device"
bus = "none"
[keyring]
path = "ca.pem"
[fetcher]
user = "{user}"
[bootloader]
type = "noop"
[slot.rootfs.0]
device = "a.img"
bootname = "A"
[slot.rootfs.1]
device = "b.img"
bootname = "B"
[health]
directory = "health.d"
boot-complete = false
"""
SERVER = """
[server]
url = "{url}"
controller-id = "{device}"
target-token-file = "token"
ca-file = "server.pem"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "health.d").mkdir(mode=0o755)
    (tmp_path / "device.toml").write_text(SETTINGS.format(user="nobody" if os.geteuid() == 0 else ""))
    return tmp_path


def program(home: Path, name: str, body: str) -> None:
    path = home / "health.d" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def health(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(ENTRY), "health", "--config", str(home / "device.toml"), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_a_healthy_device_is_shown_line_by_line(home):
    program(home, "10-disk", "echo plenty of room")
    done = health(home)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok    health.d/10-disk  plenty of room" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1].startswith("healthy: ")


@pytest.mark.req("S07")
def test_what_would_revert_a_new_system_is_told_with_its_reason(home):
    program(home, "10-modem", "echo no modem; exit 1")
    done = health(home)
    assert done.returncode == 1
    assert "FAIL  health.d/10-modem  no modem (exit status 1)" in done.stdout.splitlines()
    values = json.loads(health(home, "--json").stdout)
    assert values["healthy"] is False
    (modem,) = [check for check in values["checks"] if check["name"] == "health.d/10-modem"]
    assert (modem["ok"], modem["text"]) == (False, "no modem (exit status 1)")
    assert modem["seconds"] >= 0


def test_the_server_is_reached_as_the_daemon_would(home):
    with running_server(home) as running:
        (home / "server.pem").write_text(running.ca_pem)
        (home / "token").write_text(TOKEN)
        (home / "token").chmod(0o600)
        with (home / "device.toml").open("a") as file:
            file.write(SERVER.format(url=running.server.url, device=DEVICE))
        values = json.loads(health(home, "--json").stdout)
        assert {check["name"]: check["ok"] for check in values["checks"]}["server"] is True
        (home / "token").write_text("another token")
        assert health(home, "--json").returncode == 1
