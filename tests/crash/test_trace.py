"""System calls of a real program become operations; what is not understood ends the recording."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from crash import trace
from crash.disk import Disk, Flush, Name, Node, Operation, Unname, Write
from crash.interpose import Interposer, same
from crash.names import Names, NotUnderstood

PROGRAM = """
import os
folder = os.open(".", os.O_RDONLY)
fd = os.open("a", os.O_RDWR | os.O_CREAT)
os.write(fd, b"one")
os.write(fd, b"two")
os.pwrite(fd, b"x" * 5000, 8192)
os.pwritev(fd, [b"y", b"z"], 100)
os.fsync(fd)
os.ftruncate(fd, 9000)
os.rename(os.getcwd() + "/a", os.getcwd() + "/b")
os.fsync(folder)
os.close(fd)
fd = os.open(os.getcwd() + "/c", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.close(fd)
os.unlink("c", dir_fd=folder)
"""


def names() -> Names:
    return Names(lambda _: True, {}, {"": 0})


def recorded(directory: Path, program: str) -> list[Operation]:
    work, output = directory / "work", directory / "trace"
    work.mkdir()
    output.mkdir()
    subprocess.run([*trace.strace(output / "t"), sys.executable, "-c", program], cwd=work, check=True)
    recorder = trace.Recorder(work, names())
    return [moment.operation for call in trace.read(output.iterdir()) for moment in recorder.take(call)]


def interposed(directory: Path, program: str) -> list[Operation]:
    work = directory / "inside"
    work.mkdir()
    interposer = Interposer(work, names())
    here = program.replace('"."', repr(str(work))).replace('"a"', f'"{work}/a"').replace("os.getcwd()", repr(str(work)))
    with interposer.recording():
        exec(here, {})
    return [what for what in interposer.timeline() if isinstance(what, Operation)]


def plain(operation: Operation) -> tuple[object, ...]:
    """Without times."""
    if isinstance(operation, Write):
        return "write", operation.file, operation.source.offset, operation.source.data
    if isinstance(operation, Flush):
        return "flush", operation.file
    if isinstance(operation, Name):
        return "name", operation.directory, operation.name, operation.file, operation.old
    if isinstance(operation, Unname):
        return "unname", operation.directory, operation.name, operation.file
    return "resize", operation.file, operation.size


EXPECTED = [
    ("name", 0, "a", 1, ""), ("write", 1, 0, b"one"), ("write", 1, 3, b"two"), ("write", 1, 8192, b"x" * 5000),
    ("write", 1, 100, b"yz"), ("flush", 1), ("resize", 1, 9000), ("name", 0, "b", 1, "a"), ("flush", 0),
    ("name", 0, "c", 2, ""), ("unname", 0, "c", 2),
]  # fmt: skip


def test_a_program_is_recorded_by_strace(tmp_path: Path) -> None:
    assert [plain(each) for each in recorded(tmp_path, PROGRAM)] == EXPECTED


def test_a_program_in_this_process_is_recorded_alike(tmp_path: Path) -> None:
    assert [plain(each) for each in interposed(tmp_path, PROGRAM)] == EXPECTED


@pytest.mark.parametrize(
    "line",
    [
        "import mmap; mmap.mmap(fd, 4096)[:1] = b'x'",
        "os.link(os.getcwd() + '/a', os.getcwd() + '/b')",
        "os.posix_fallocate(fd, 0, 8192)",
        "os.open(os.getcwd() + '/a', os.O_WRONLY | os.O_APPEND)",
        "os.rename(os.getcwd() + '/a', '/tmp/elsewhere-of-the-trace'); os.unlink('/tmp/elsewhere-of-the-trace')",
    ],
)
def test_what_is_not_understood_is_not_passed_over(tmp_path: Path, line: str) -> None:
    program = "import os\nfd = os.open('a', os.O_RDWR | os.O_CREAT)\nos.write(fd, b' ' * 4096)\n" + line
    with pytest.raises(NotUnderstood):
        recorded(tmp_path, program)


def test_a_write_that_went_another_way_is_noticed(tmp_path: Path) -> None:
    interposer = Interposer(tmp_path, names())
    with interposer.recording():
        fd = os.open(tmp_path / "uboot.env", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"seen")
        os.close(fd)
    disk = Disk({0: Node()}, frozenset({0}))
    for what in interposer.timeline():
        disk.apply(what)  # type: ignore[arg-type]  # nobody told anything to a server
    state = disk.survivors(Random(0), "everything")
    assert same(tmp_path, state) == ""
    (tmp_path / "uboot.env").write_bytes(b"else")
    assert "uboot.env" in same(tmp_path, state)
