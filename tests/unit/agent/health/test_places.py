"""Checks of what is stored and of what watches: real mounts, real flushes, and kernel files in a folder."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.health.bounded import Bounded
from agent.health.mount import MountCheck, mount_points
from agent.health.space import SpaceCheck
from agent.health.systemctl import Systemctl
from agent.health.watchdog import WatchdogCheck

NO_SYSTEMCTL = Systemctl(1, "/no/systemctl")


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB with a blank in its path."""
    path = tmp_path / "my data"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.root
def test_a_mount_that_takes_a_file_is_green_and_left_clean(point):
    assert MountCheck(point, 5).run().ok
    assert [*point.iterdir()] == []


@pytest.mark.root
def test_what_a_start_that_was_killed_has_left_is_no_hindrance(point):
    (point / ".ota-agent-health").symlink_to("/etc/passwd")
    assert MountCheck(point, 5).run().ok
    assert [*point.iterdir()] == []


@pytest.mark.root
def test_a_mount_that_is_read_only_is_red(point):
    subprocess.run(["mount", "-o", "remount,ro", point], check=True)
    result = MountCheck(point, 5).run()
    assert not result.ok
    assert result.text.startswith("Read-only file system (is it mounted read-only, or")


@pytest.mark.root
def test_a_full_medium_is_red(point):
    (point / "filler").write_bytes(bytes(64 << 10))
    assert MountCheck(point, 5).run().text == "No space left on device"
    assert [path.name for path in point.iterdir()] == ["filler"]


def test_where_nothing_is_mounted_nothing_is_written(tmp_path):
    result = MountCheck(tmp_path, 5).run()
    assert (result.name, result.text) == (f"mount {tmp_path}", "nothing is mounted there")
    assert [*tmp_path.iterdir()] == []
    assert "/proc" in mount_points()


@pytest.mark.root
def test_too_little_room_is_red(point):
    assert SpaceCheck(point, 4096, 5).run().ok
    result = SpaceCheck(point, 1 << 20, 5).run()
    assert (result.ok, result.text) == (False, "65536 bytes are free, 1048576 are wanted")
    assert not SpaceCheck(point / "none", 1, 5).run().ok


@pytest.mark.req("S07")
def test_a_call_that_hangs_is_left_behind_and_not_started_twice():
    go, calls = threading.Event(), []
    bounded = Bounded(lambda: calls.append(1) or go.wait())
    for _ in range(3):
        with pytest.raises(TimeoutError):
            bounded.run(0.05)
    assert len(calls) == 1
    go.set()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            bounded.run(1)
            break
        except TimeoutError:
            continue
    assert time.monotonic() < end


def test_a_call_that_hangs_is_not_waited_for_when_the_daemon_is_to_end():
    go = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        Bounded(go.wait, stopping=lambda: True).run(60)
    go.set()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("state", "ok"), [("active\n", True), ("inactive\n", False), ("", False)])
def test_a_watchdog_must_be_armed(tmp_path, state, ok):
    (tmp_path / "state").write_text(state)
    assert WatchdogCheck(tmp_path, NO_SYSTEMCTL).run().ok is ok


def test_without_a_watchdog_the_check_is_red():
    assert WatchdogCheck(Path("/dev/watchdog77"), NO_SYSTEMCTL).run().text == "there is no /dev/watchdog77"


@pytest.mark.parametrize(("period", "ok"), [("30s", True), ("0", False), ("infinity", False), ("", False)])
def test_where_the_kernel_tells_nothing_systemd_is_asked(tmp_path, period, ok):
    device = tmp_path / "watchdog77"
    device.touch()
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\necho RuntimeWatchdogUSec={period}\n")
    systemctl.chmod(0o755)
    assert WatchdogCheck(device, Systemctl(5, str(systemctl))).run().ok is ok
    assert not WatchdogCheck(device, NO_SYSTEMCTL).run().ok
