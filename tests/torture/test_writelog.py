"""Logs and traces that QEMU itself writes, without a guest: what was written is found, in its order, over several drives."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from agent.demo.tools import bound_to_us
from torture import trace
from torture.medium import Medium, Region, mark_of
from torture.writelog import NotALog, entries

SIZE = 1024 * 1024


class Drives:
    """Two drives whose writes QEMU logs; served over NBD and written to by qemu-io."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("disk", "card"):
            (directory / f"{name}.img").write_bytes(Random(name).randbytes(SIZE))
            shutil.copy(directory / f"{name}.img", directory / f"{name}.base")
            (directory / f"{name}.log").touch()
        words = [f"--nbd-server=addr.type=unix,addr.path={directory}/nbd"]
        for name in ("disk", "card"):
            words += [
                f"--blockdev=driver=file,filename={directory}/{name}.img,node-name={name}-file,discard=unmap",
                f"--blockdev=driver=file,filename={directory}/{name}.log,node-name={name}-log",
                f"--blockdev=driver=blklogwrites,file={name}-file,log={name}-log,log-sector-size=512,node-name={name}"
                ",discard=unmap",
                f"--export=type=nbd,id={name},node-name={name},writable=on",
            ]
        with (directory / "trace").open("wb") as lines:
            self.process = subprocess.Popen(
                [*bound_to_us(), "qemu-storage-daemon", *words, "--trace=enable=bdrv_co_pwritev_part"], stderr=lines
            )
        end = time.monotonic() + 60
        while not (directory / "nbd").exists():
            assert self.process.poll() is None and time.monotonic() < end, (directory / "trace").read_text()
            time.sleep(0.02)

    def write(self, name: str, *commands: str) -> None:
        words = [word for command in commands for word in ("-c", command)]
        export = f"driver=nbd,server.type=unix,server.path={self.directory}/nbd,export={name},discard=unmap"
        subprocess.run(["qemu-io", "--image-opts", *words, export], check=True, capture_output=True)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def log(self, name: str) -> bytes:
        return (self.directory / f"{name}.log").read_bytes()

    def trace(self) -> list[str]:
        """The lines of the trace; only a whole machine puts the time in front of each."""
        lines = (self.directory / "trace").read_text().splitlines()
        return [f"1@{number}.000000:{line}" for number, line in enumerate(lines)]


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    made = Drives(tmp_path_factory.mktemp("drives"))
    try:
        made.write("disk", "write -P 1 0 4k", "write -P 2 4k 8k", "flush", "write -z 64k 4k")
        made.write("card", "write -P 5 1k 512", "write -P 6 2k 1k")
        made.write("disk", "discard 128k 64k", "write -P 3 512 1k")
    finally:
        made.end()
    return made


def written(log):
    return [(entry.offset, entry.length) for entry in entries(log) if not entry.flushes]


def test_a_log_of_qemu_holds_every_write_in_its_order(drives):
    assert written(drives.log("disk")) == [(0, 4096), (4096, 8192), (65536, 4096), (131072, 65536), (512, 1024)]
    assert any(entry.flushes for entry in entries(drives.log("disk")))


def test_the_trace_puts_the_entries_of_two_drives_in_one_order(drives):
    logs = [entries(drives.log(name)) for name in ("disk", "card")]
    found = trace.moments(drives.trace(), logs)
    assert sorted((each.drive, each.entry) for each in found) == [
        (drive, number) for drive, log in enumerate(logs) for number in range(len(log))
    ]
    order = [(each.drive, logs[each.drive][each.entry].offset) for each in found if logs[each.drive][each.entry].length]
    assert order == [(0, 0), (0, 4096), (0, 65536), (1, 1024), (1, 2048), (0, 131072), (0, 512)]
    assert [each.time for each in found] == sorted(each.time for each in found)


def test_a_trace_that_lacks_an_entry_is_refused(drives):
    logs = [entries(drives.log("disk"))]
    last = logs[0][-1].header
    lines = [line for line in drives.trace() if not re.search(f"offset {last} ", line)]
    with pytest.raises(trace.NotInTrace):
        trace.moments(lines, logs)


@pytest.mark.parametrize("name", ["disk", "card"])
def test_all_entries_of_a_log_over_the_base_image_are_the_drive(drives, name):
    base, log = (drives.directory / f"{name}.base").read_bytes(), drives.log(name)
    medium = Medium(base, log, [Region("all", 0, SIZE)])
    for entry in entries(log):
        medium.take(entry)
    found = medium.everything()
    assert found.read(0, SIZE) == (drives.directory / f"{name}.img").read_bytes()
    assert found.marks["all"] ^ mark_of(base) == mark_of((drives.directory / f"{name}.img").read_bytes())


def test_an_entry_that_is_not_whole_was_never_done(drives):
    log = drives.log("card")
    last = entries(log)[-1]
    count = bytes(8)  # as before the first flush
    assert len(entries(log[:16] + count + log[24 : last.header + 100])) == len(entries(log)) - 1


def test_what_is_no_log_is_refused(drives):
    log = bytearray(drives.log("disk"))
    for bad in (b"", bytes(512), bytes(log[:8]) + b"\2" + bytes(log[9:]), bytes(log[:600])):
        with pytest.raises(NotALog):
            entries(bad)
