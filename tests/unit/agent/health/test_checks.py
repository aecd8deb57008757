"""Promises of the checks that run programs, with real ones; systemctl is played by a script, PID 1 here is no systemd."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.errors import EnvironmentFault
from agent.health.boot_complete import BootCompleteCheck
from agent.health.command import CommandCheck
from agent.health.server import ServerCheck
from agent.health.systemctl import Systemctl
from agent.health.units import SystemStateCheck, UnitsCheck


@pytest.fixture
def systemctl(tmp_path):
    def write(body: str, timeout: float = 5) -> Systemctl:
        path: Path = tmp_path / "systemctl"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return Systemctl(timeout, str(path))

    return write


def test_active_units_are_green(systemctl):
    result = UnitsCheck(["a.service", "b.service"], systemctl("echo active; echo reloading")).run()
    assert (result.ok, result.name) == (True, "units")


def test_a_unit_that_is_not_up_is_named_even_though_systemctl_exits_with_0(systemctl):
    result = UnitsCheck(
        ["a.service", "b.service", "c.service"], systemctl("printf 'active\\nfailed\\ninactive\\n'")
    ).run()
    assert not result.ok
    assert result.text == "b.service is failed, c.service is inactive"


def test_the_units_are_asked_for_by_name(systemctl, tmp_path):
    UnitsCheck(["a.service", "-b.service"], systemctl(f'echo "$*" > {tmp_path}/asked')).run()
    assert (tmp_path / "asked").read_text() == "is-active -- a.service -b.service\n"


@pytest.mark.parametrize("body", ["", "echo Failed to connect to bus >&2; exit 1"])
def test_an_answer_that_makes_no_sense_is_red(systemctl, body):
    assert not UnitsCheck(["a.service", "b.service"], systemctl(body)).run().ok


def test_a_silent_or_missing_systemctl_is_red(systemctl):
    assert "did not answer within 0.2 s" in UnitsCheck(["a.service"], systemctl("sleep 5", 0.2)).run().text
    assert "cannot be started" in UnitsCheck(["a.service"], Systemctl(0.2, "/no/systemctl")).run().text
    assert "cannot be started" in SystemStateCheck(Systemctl(0.2, "/no/systemctl")).run().text


@pytest.mark.parametrize(
    ("state", "ok"),
    [
        ("running", True),
        ("degraded", True),
        ("starting", False),
        ("maintenance", False),
        ("stopping", False),
        ("", False),
    ],
)
def test_the_system_must_be_up(systemctl, state, ok):
    assert SystemStateCheck(systemctl(f"echo {state}; [ {state or 'x'} = running ]")).run().ok is ok


def test_a_command_that_succeeds_is_green():
    assert CommandCheck(["true"], 5).run().ok


@pytest.mark.req("S07")
def test_the_last_line_of_a_command_is_the_reason():
    result = CommandCheck(["/bin/sh", "-c", "echo looking; echo no modem >&2; exit 7"], 5).run()
    assert (result.ok, result.name, result.text) == (False, "command sh", "no modem (exit status 7)")


@pytest.mark.parametrize(
    ("script", "text"),
    [("exit 1", "exit status 1"), ("kill -ABRT $$", "killed by SIGABRT"), ("kill -40 $$", "killed by signal 40")],
)
def test_a_silent_command_is_explained_by_how_it_ended(script, text):
    assert CommandCheck(["/bin/sh", "-c", script], 5).run().text == text


@pytest.mark.req("S07")
def test_a_command_that_hangs_is_ended_and_red():
    started = time.monotonic()
    result = CommandCheck(["/bin/sh", "-c", "trap '' TERM; sleep 30"], 0.3).run()
    assert result.text == "not ready after 0.3 s"
    assert time.monotonic() - started < 20


def test_a_missing_command_is_red():
    assert CommandCheck(["/no/such"], 5).run().text == "cannot be started: No such file or directory"


@pytest.mark.req("T28")
def test_a_server_that_cannot_be_reached_is_red_with_its_code():
    def contact() -> None:
        raise EnvironmentFault("server.unreachable", "the server does not answer", details="timeout")

    result = ServerCheck(contact).run()
    assert (result.ok, result.name) == (False, "server")
    assert result.text == "the server does not answer: timeout [server.unreachable]"
    assert ServerCheck(lambda: None).run().ok


@pytest.mark.req("S07")
def test_a_command_is_ended_when_the_daemon_is_to_end():
    stop = []
    started = time.monotonic()
    check = CommandCheck(["/bin/sh", "-c", "trap '' TERM; sleep 30"], 30, stopping=lambda: bool(stop) or stop.append(1))
    assert not check.run().ok
    assert time.monotonic() - started < 10


TARGET = "echo LoadState=loaded; echo ActiveState={}; echo Requires=app.service; echo Requisite="


@pytest.mark.req("S07")
def test_a_boot_that_is_complete_is_green(systemctl):
    assert BootCompleteCheck(systemctl(TARGET.format("active"))).run().ok


@pytest.mark.req("S07")
def test_a_unit_that_vetoes_the_boot_is_named_and_not_started_again(systemctl, tmp_path):
    answers = f"""case "$*" in
*app.service) echo Id=app.service; echo ActiveState=failed; echo Result=exit-code;;
start*) echo "$*" >> {tmp_path}/started;;
*) {TARGET.format("inactive")};;
esac"""
    result = BootCompleteCheck(systemctl(answers)).run()
    assert (result.ok, result.text) == (False, "boot-complete.target is not reached: app.service is failed")
    assert not (tmp_path / "started").exists()


def test_a_target_that_nobody_pulls_in_is_started_once(systemctl, tmp_path):
    answers = f"""case "$*" in
start*) echo "$*" >> {tmp_path}/started;;
*) echo LoadState=loaded; echo ActiveState=inactive; echo Requires=; echo Requisite=;;
esac"""
    check = BootCompleteCheck(systemctl(answers))
    assert [check.run().ok for _ in range(3)] == [False] * 3
    assert (tmp_path / "started").read_text() == "start --no-block -- boot-complete.target\n"


@pytest.mark.req("S07")
def test_a_target_that_missed_a_unit_which_came_up_later_is_started_again(systemctl, tmp_path):
    """The first start of a service with Restart= fails, and the start of the target with it (systemd.service(5))."""
    unit = tmp_path / "unit"
    answers = f"""case "$*" in
*app.service) echo Id=app.service; echo ActiveState=$(cat {unit}); echo Result=success;;
start*) echo "$*" >> {tmp_path}/started;;
*) {TARGET.format("inactive")};;
esac"""
    check = BootCompleteCheck(systemctl(answers))
    unit.write_text("activating")
    assert [check.run().ok for _ in range(2)] == [False] * 2
    assert (tmp_path / "started").read_text().count("start") == 1
    unit.write_text("active")
    check.run()
    assert (tmp_path / "started").read_text().count("start") == 2


def test_a_system_without_the_target_is_told_which_setting_is_about_it(systemctl):
    result = BootCompleteCheck(systemctl("echo LoadState=not-found; echo ActiveState=inactive")).run()
    assert result.text == "boot-complete.target is not-found (health.boot-complete)"
    assert "cannot be started" in BootCompleteCheck(Systemctl(1, "/no/systemctl")).run().text
