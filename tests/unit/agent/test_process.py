"""Promises of running a program: bounded in time, output and surroundings."""

from __future__ import annotations

import os
import time

import pytest

from agent.process import MAX_OUTPUT, run


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    """Whether it has ended within some seconds: SIGKILL takes effect when the process next runs, on a busy machine later."""
    end = time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(pid)


def test_status_and_output_are_told():
    done = run(["/bin/sh", "-c", "echo one; echo two >&2; exit 3"], 5)
    assert (done.status, done.output.splitlines(), done.last_line) == (3, ["one", "two"], "two")


def test_a_signal_is_told_as_a_negative_status():
    assert run(["/bin/sh", "-c", "kill -SEGV $$"], 5).status == -11


def test_a_program_that_takes_too_long_dies_with_all_its_children(tmp_path):
    note = tmp_path / "pid"
    started = time.monotonic()
    done = run(["/bin/sh", "-c", f"sleep 60 & echo $! > {note}; echo waiting; wait"], 0.5)
    assert time.monotonic() - started < 10
    assert (done.status, done.last_line) == (None, "waiting")
    assert ends(int(note.read_text()))


def test_a_background_child_does_not_hold_up_the_answer_and_is_removed(tmp_path):
    note = tmp_path / "pid"
    started = time.monotonic()
    done = run(["/bin/sh", "-c", f"sleep 60 & echo $! > {note}; exit 0"], 20)
    assert done.status == 0
    assert time.monotonic() - started < 10
    assert ends(int(note.read_text()))


def test_a_program_that_closes_its_output_is_still_waited_for():
    done = run(["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 4"], 5)
    assert done.status == 4


@pytest.mark.req("T16")
def test_endless_output_is_cut_and_ended():
    done = run(["/bin/sh", "-c", "yes | tr -d '\\n'"], 0.4)
    assert done.status is None
    assert len(done.output) <= MAX_OUTPUT
    assert len(done.last_line) <= 200


def test_the_environment_is_clean(monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("SECRET", "x")
    names = {line.partition("=")[0] for line in run(["/usr/bin/env"], 5).output.splitlines()}
    assert names == {"PATH", "LANG"}


def test_no_descriptor_is_handed_down():
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    try:
        listing = run(["/bin/sh", "-c", "ls /proc/self/fd | wc -l"], 5)
    finally:
        os.close(read_end)
        os.close(write_end)
    assert int(listing.last_line) == 4, "three standard ones and that of the listing itself"


def test_a_missing_program_is_an_os_error():
    with pytest.raises(FileNotFoundError):
        run(["/no/such/program"], 1)


def test_the_last_line_is_printable():
    assert run(["/usr/bin/printf", "a\\033[31mb\\377\\n\\n"], 5).last_line == "a?[31mb\ufffd"
