"""A power cut spares nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from agent.demo.processes import everyone, kill_everyone, written_by

# A leader with a child, a grandchild in a session of its own, and one that ignores what can be ignored.
_FAMILY = """
import os, signal, subprocess, sys
plain = subprocess.Popen(["sleep", "60"])
own = subprocess.Popen(["sleep", "60"], start_new_session=True)
deaf = subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; sleep 60; sleep 60"])
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _FAMILY], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while len(everyone(process.pid)) < 5:  # the shell has yet to start its sleep
            time.sleep(0.01)
        yield process
        kill_everyone(process.pid)


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_everyone_is_found_and_nobody_else(leader: subprocess.Popen[str]) -> None:
    found = everyone(leader.pid)

    assert leader.pid in found
    assert os.getpid() not in found
    assert len(found) == 5


def test_all_are_gone_when_the_cut_returns(leader: subprocess.Popen[str]) -> None:
    family = everyone(leader.pid)

    assert kill_everyone(leader.pid) >= len(family)

    assert not [pid for pid in family if running(pid)]
    assert kill_everyone(leader.pid) == 0


def test_the_orphans_of_a_dead_leader_are_found(leader: subprocess.Popen[str]) -> None:
    leader.kill()
    leader.wait()

    orphans = everyone(leader.pid)
    assert orphans
    kill_everyone(leader.pid)

    assert not [pid for pid in orphans if running(pid)]


def test_a_child_that_is_born_during_the_cut_dies_too() -> None:
    breeding = "import subprocess\nwhile True: subprocess.Popen(['sleep', '60'])\n"
    with subprocess.Popen([sys.executable, "-c", breeding], start_new_session=True) as process:
        time.sleep(0.3)
        kill_everyone(process.pid)

        assert everyone(process.pid) == set()


def test_what_a_child_has_written_is_counted() -> None:
    child = "import subprocess, sys; subprocess.run(['sh', '-c', 'head -c 100000 /dev/zero; read x', 'scribe'])"
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        end = time.monotonic() + 5
        while time.monotonic() < end and written_by(process.pid, "scribe") == (0, 0):
            time.sleep(0.01)
        pid, _ = written_by(process.pid, "scribe")
        kill_everyone(process.pid)

        assert pid > 0
        assert written_by(process.pid, "scribe") == (0, 0)
