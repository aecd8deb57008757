"""What is copied while a process stands still is what its death leaves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from torture.freeze import frozen

# Two threads write all the time: one appends, one counts in place.
WRITER = """
import os, sys, threading
def append():
    with open(sys.argv[1], "ab", buffering=0) as file:
        while True:
            file.write(os.urandom(64))
threading.Thread(target=append).start()
fd = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
number = 0
while True:
    number += 1
    os.pwrite(fd, number.to_bytes(8, "big"), 0)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "log", tmp_path / "count"]) as process:
        while not (tmp_path / "log").exists() or not (tmp_path / "count").exists():
            time.sleep(0.01)
        yield process
        process.kill()


def content(directory: Path) -> tuple[bytes, bytes]:
    return (directory / "log").read_bytes(), (directory / "count").read_bytes()


def test_a_copy_of_a_process_that_stands_still_is_what_its_death_leaves(writer, tmp_path):
    with frozen(writer.pid):
        copy = content(tmp_path)
        time.sleep(0.05)
        writer.kill()
        writer.wait()
    assert content(tmp_path) == copy


def test_a_process_goes_on_afterwards(writer, tmp_path):
    for _ in range(10):
        with frozen(writer.pid):
            before = content(tmp_path)
        end = time.monotonic() + 20
        while any(one == other for one, other in zip(content(tmp_path), before, strict=True)):
            assert time.monotonic() < end, "it has stopped for good"
            time.sleep(0.01)


def test_a_process_that_has_ended_cannot_stand_still(writer):
    writer.kill()
    writer.wait()
    with pytest.raises(ProcessLookupError), frozen(writer.pid):
        pass
