"""Promises of the command line, as a process, against a real bus."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bus import private_bus, served

import agent

ENTRY = Path(agent.__file__).with_name("__main__.py")
MINIMAL = """
[system]
compatible = "Test Device"
[keyring]
path = "ca.pem"
[bootloader]
type = "grub"
[slot.rootfs.0]
device = "a.img"
bootname = "A"
[slot.rootfs.1]
device = "b.img"
bootname = "B"
"""


class Stage:
    """A bus, a served daemon, and the command line."""

    def __init__(self, address: str, daemon: subprocess.Popen[str]) -> None:
        self.address = address
        self.daemon = daemon

    def tell(self, line: str) -> None:
        assert self.daemon.stdin
        self.daemon.stdin.write(f"{line}\n")
        self.daemon.stdin.flush()

    def cli(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return cli(*arguments, OTA_AGENT_BUS=self.address)


def cli(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(ENTRY), *map(str, arguments)]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}, cwd="/"
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Iterator[Stage]:
    with private_bus(tmp_path_factory.mktemp("bus")) as address, served(address) as daemon:
        yield Stage(address, daemon)


def test_status_for_people_and_for_programs(stage):
    shown = stage.cli("status")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[:2] == ["state     idle - up to date as far as known", "running   1.0 in slot A"]
    values = json.loads(stage.cli("status", "--json").stdout)
    assert (values["CurrentVersion"], values["Progress"]) == ("1.0", [0.0, "", 0])


def test_check_and_install_reach_the_daemon(stage, tmp_path):
    bundle = tmp_path / "a b.raucb"
    bundle.write_bytes(b"x")
    assert stage.cli("check").returncode == 0
    assert stage.daemon.stdout.readline() == "asked check\n"
    assert json.loads(stage.cli("install", bundle, "--json").stdout) == {"accepted": True}
    assert stage.daemon.stdout.readline() == f"asked install_file x {bundle.name} {{}}\n"


def test_a_bundle_that_is_not_there_is_told_before_the_daemon_is_asked(stage):
    done = stage.cli("install", "/no/such.raucb")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: there is no such bundle, or it cannot be opened [bundle.not-found]"


def test_there_is_nothing_to_cancel_when_nothing_is_under_way(stage):
    done = stage.cli("cancel")
    assert (done.returncode, done.stderr) == (3, "error: no update is under way [update.none]\n")
    assert json.loads(stage.cli("cancel", "--json").stdout)["error"]["code"] == "update.none"


def test_what_the_daemon_refuses_is_told_with_its_advice(stage):
    stage.tell("publish State staging")
    wait_for_state(stage, "staging")
    try:
        done = stage.cli("cancel")
    finally:
        stage.tell("publish State idle")
        wait_for_state(stage, "idle")
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "error: there is nothing to cancel [update.none]",
        "next: ota-agent status shows what is going on",
    ]


def wait_for_state(stage: Stage, state: str) -> None:
    for _ in range(50):
        if json.loads(stage.cli("status", "--json").stdout)["State"] == state:
            return
    raise AssertionError(state)


def test_watching_shows_each_change_until_the_daemon_leaves(tmp_path):
    with private_bus(tmp_path) as address, served(address) as daemon:
        command = [sys.executable, "-I", str(ENTRY), "status", "--watch", "--json", "--bus", address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
            assert json.loads(watcher.stdout.readline())["State"] == "idle"
            daemon.stdin.write("publish State staging\n")
            daemon.stdin.flush()
            assert json.loads(watcher.stdout.readline())["State"] == "staging"
            daemon.stdin.close()
            assert json.loads(watcher.stdout.readline())["error"]["code"] == "daemon.unreachable"
            assert watcher.wait(10) == 4


@pytest.mark.parametrize(("last", "status"), [("rebooting", 0), ("idle", 1)])
def test_waiting_for_an_installation_ends_with_it(tmp_path, last, status):
    bundle = tmp_path / "a.raucb"
    bundle.write_bytes(b"x")
    with private_bus(tmp_path) as address, served(address) as daemon:

        def play() -> None:
            assert daemon.stdout.readline() == f"asked install_file x {bundle.name} {{}}\n"
            for state in ("staging", last):
                daemon.stdin.write(f"publish State {state}\n")
                daemon.stdin.flush()
                time.sleep(0.3)

        thread = threading.Thread(target=play)
        thread.start()
        done = cli("install", "--wait", bundle, OTA_AGENT_BUS=address)
        thread.join()
    assert done.returncode == status, done.stderr
    assert "staging    writing to the other slot" in done.stdout.splitlines()


@pytest.mark.parametrize(("last", "status"), [("activating", 0), ("staging", 4)])
def test_a_device_that_is_gone_after_the_switch_restarts_and_before_it_is_lost(tmp_path, last, status):
    bundle = tmp_path / "a.raucb"
    bundle.write_bytes(b"x")
    with private_bus(tmp_path) as address, served(address) as daemon:

        def play() -> None:
            daemon.stdout.readline()
            for line in ("publish State staging\n", f"publish State {last}\n"):
                daemon.stdin.write(line)
                daemon.stdin.flush()
                time.sleep(0.3)
            daemon.stdin.close()

        thread = threading.Thread(target=play)
        thread.start()
        done = cli("install", "--wait", "--json", bundle, OTA_AGENT_BUS=address)
        thread.join()
    assert done.returncode == status, done.stderr
    assert ('"rebooting"' in done.stdout) == (status == 0)


@pytest.mark.parametrize("command", [["status"], ["check"], ["status", "--watch"], ["cancel", "--json"]])
def test_without_a_daemon_the_status_is_4(tmp_path, command):
    with private_bus(tmp_path) as address:
        done = cli(*command, OTA_AGENT_BUS=address)
    assert done.returncode == 4
    assert "daemon.unreachable" in done.stderr + done.stdout
    assert cli(*command, OTA_AGENT_BUS=f"unix:path={tmp_path}/none").returncode == 4


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["install"], ["daemon", "--nothing"], ["config"]])
def test_wrong_usage_is_2(arguments):
    assert cli(*arguments).returncode == 2


def test_no_command_at_all_shows_the_help():
    assert "examples:" in cli().stdout


def test_help_teaches_with_examples_that_exist():
    text = cli("--help").stdout
    examples = [line.split("  ")[1].split() for line in text.splitlines() if line.startswith("  ota-agent ")]
    assert len(examples) >= 5
    for words in examples:
        assert words[1] in text.partition("examples:")[0]
    for command in ("status", "check", "install", "cancel", "version"):
        assert "--json" in cli(command, "--help").stdout


def test_the_version_is_told():
    assert cli("version").stdout == f"ota-agent {agent.__version__}\n"
    assert json.loads(cli("version", "--json").stdout) == {"version": agent.__version__}


def test_a_configuration_is_shown_with_the_origin_of_each_setting(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(MINIMAL)
    shown = cli("config", "show", "--config", path)
    assert f'compatible = "Test Device"   # {path}' in shown.stdout
    assert "reboot" not in shown.stdout
    assert "reboot = true   # default" in cli("config", "show", "--defaults", "--config", path).stdout
    settings = json.loads(cli("config", "show", "--defaults", "--json", "--config", path).stdout)["settings"]
    assert settings["slot.rootfs.1"]["device"] == str(tmp_path / "b.img")
    assert settings["health"]["deadline"] == 300


def test_what_is_shown_is_a_configuration_again(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(MINIMAL)
    again = tmp_path / "again.toml"
    again.write_text(cli("config", "show", "--defaults", "--config", path).stdout)
    assert cli("config", "check", again).stdout == f"in order: {again}\n"


def test_a_wrong_configuration_is_2_with_every_problem(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(MINIMAL.replace("compatible", "compatibel") + "[healt]\n")
    done = cli("config", "check", path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: the configuration has 3 problems [config.invalid]"
    assert f"  {path}: healt: unknown section, did you mean health?" in done.stderr.splitlines()
    path.write_text(MINIMAL.replace('bootname = "B"', 'bootname = "A"'))
    assert cli("config", "check", path).returncode != 0, "the rules for slots are checked too"
    assert cli("config", "check", tmp_path / "none.toml").returncode == 2


def test_the_daemon_is_spared_the_parsers(tmp_path):
    code = (
        "import sys; from agent.cli import main\n"
        "for words in (['daemon'], ['daemon', '--config', 'a', '--config=b']): print(main._daemon_files(words))\n"
        "for words in (['daemon', '--help'], ['daemon', '--config'], ['status']): print(main._daemon_files(words))\n"
        "print([name for name in ('argparse', 'tomllib', 'gi', 'json') if name in sys.modules])"
    )
    root = str(ENTRY.parent.parent)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root)
    assert done.stdout.splitlines() == [
        "[]",
        "[PosixPath('a'), PosixPath('b')]",
        "None",
        "None",
        "None",
        "[]",
    ]
