"""The contract of the directory of health programs: which run, in which order, and whose word counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.health.directory import directory_checks
from agent.health.suite import Suite


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "health.d"
    path.mkdir(mode=0o755)
    return path


def program(directory: Path, name: str, body: str = "exit 0", mode: int = 0o755) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


def judged(directory: Path, timeout: float = 5) -> dict[str, str]:
    """The name of each check and, when it is red, why."""
    results = Suite(directory_checks(directory, timeout)).run_once()
    return {result.name: "" if result.ok else result.text for result in results}


def test_a_directory_that_does_not_exist_demands_nothing(tmp_path):
    assert directory_checks(tmp_path / "none", 5) == []


def test_an_empty_directory_is_healthy(directory):
    assert judged(directory) == {"directory": ""}


@pytest.mark.req("S07")
def test_programs_run_in_the_order_of_their_names(directory, tmp_path):
    for name in ("20-b", "10-c", "A", "30_a", "100"):
        program(directory, name, f"echo {name} >> {tmp_path}/log")
    assert [*judged(directory)] == ["directory", *(f"health.d/{name}" for name in ("10-c", "100", "20-b", "30_a", "A"))]
    assert (tmp_path / "log").read_text().split() == ["10-c", "100", "20-b", "30_a", "A"]


def test_what_packages_and_editors_leave_behind_does_not_run(directory):
    for name in ("10-app.dpkg-old", "app.sh", "app~", ".hidden", "10-app.rpmsave"):
        program(directory, name, "exit 1")
    assert judged(directory) == {"directory": ""}
    assert "app.sh" in directory_checks(directory, 5)[0].run().text


@pytest.mark.req("S07")
def test_the_status_decides_and_the_last_line_says_why(directory):
    program(directory, "good", "echo fine")
    program(directory, "bad", "echo looking; echo no modem >&2; exit 1")
    program(directory, "broken", "exit 64")
    found = judged(directory)
    assert found["health.d/good"] == ""
    assert found["health.d/bad"] == "no modem (exit status 1)"
    assert found["health.d/broken"] == "exit status 64"


def test_each_program_has_its_own_time(directory):
    program(directory, "slow", "sleep 30")
    program(directory, "quick")
    assert judged(directory, 0.3) == {
        "directory": "", "health.d/quick": "", "health.d/slow": "not ready after 0.3 s",
    }  # fmt: skip


def test_a_program_that_cannot_be_run_is_not_passed_over(directory):
    program(directory, "forgotten", mode=0o644)
    (directory / "folder").mkdir()
    (directory / "lost").symlink_to("/no/such/program")
    found = judged(directory)
    assert found["health.d/forgotten"] == "is not executable"
    assert found["health.d/folder"] == "is no file"
    assert found["health.d/lost"].startswith("cannot be looked at")


@pytest.mark.req("C09")
@pytest.mark.root
@pytest.mark.parametrize("how", ["mode", "owner"])
def test_a_program_that_others_can_change_is_never_run(directory, tmp_path, how):
    path = program(directory, "planted", f"touch {tmp_path}/ran")
    if how == "mode":
        path.chmod(0o775)
    else:
        os.chown(path, 65534, 65534)
    assert judged(directory)["health.d/planted"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.req("C09")
@pytest.mark.root
@pytest.mark.parametrize("how", ["mode", "owner"])
def test_nothing_runs_out_of_a_directory_that_others_can_write_to(directory, tmp_path, how):
    program(directory, "fine", f"touch {tmp_path}/ran")
    if how == "mode":
        directory.chmod(0o777)
    else:
        os.chown(directory, 65534, 65534)
    found = judged(directory)
    assert [*found] == ["directory"]
    assert found["directory"]
    assert not (tmp_path / "ran").exists()


def test_a_file_in_the_place_of_the_directory_is_red(tmp_path):
    path = tmp_path / "health.d"
    path.write_text("")
    assert "is no directory" in judged(path)["directory"]


def test_too_many_programs_are_told_and_not_half_forgotten(directory, monkeypatch):
    monkeypatch.setattr("agent.health.directory.MAX_PROGRAMS", 2)
    for number in range(3):
        program(directory, f"{number:03d}")
    assert "at most" in judged(directory)["directory"]
