"""Runs a program of a bundle to its end: never longer than allowed, and with its words cut to a bearable amount."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.errors import BundleError
from agent.installer.namespaces import start_apart

MAX_LINES = 500  # of one program; the rest is left out
MAX_LINE = 400  # characters
_PIECE = 65536


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        status: exit status; minus the signal's number when a signal ended it; None when the time was over.
        last_error: the last line of standard error that says something.
        last_line: the last line of either output.
    """

    status: int | None
    last_error: str
    last_line: str


@dataclass(slots=True)
class _Lines:
    """Cuts a stream into lines; what is longer than a line may be is dropped."""

    rest: bytes = b""
    last: str = ""

    def take(self, piece: bytes) -> list[str]:
        *whole, self.rest = (self.rest + piece).split(b"\n")
        self.rest = self.rest[: 4 * MAX_LINE]
        return self._texts(whole)

    def end(self) -> list[str]:
        return self._texts([self.rest])

    def _texts(self, lines: list[bytes]) -> list[str]:
        found = [text for line in lines if (text := _printable(line))]
        self.last = found[-1] if found else self.last
        return found


@dataclass(slots=True)
class _Heard:
    """What a program said, passed on until it is too much."""

    hear: Callable[[str], None]
    outputs: Mapping[int, _Lines]
    last: str = ""
    count: int = field(default=0)

    def take(self, fd: int, piece: bytes) -> None:
        lines = self.outputs[fd].take(piece) if piece else self.outputs[fd].end()
        for line in lines:
            self.last = line
            self.count += 1
            if self.count <= MAX_LINES:
                self.hear(line)
            elif self.count == MAX_LINES + 1:
                self.hear("what it says from here on is left out")


def run(argv: Sequence[str], environment: Mapping[str, str], timeout: float, hear: Callable[[str], None]) -> Ended:
    """Runs a program and waits for it; whatever it leaves behind is killed.

    Args:
        argv: the program's path and its arguments; no shell is involved.
        environment: all of it.
        timeout: seconds.
        hear: told each line of its output.

    Raises:
        BundleError: ``hook.not-started``.
        ConfigError: ``hook.not-confined``.
    """
    deadline = time.monotonic() + timeout
    try:
        process = start_apart(argv, environment)
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        raise BundleError(
            "hook.not-started", "a program of the bundle cannot be started",
            details=f"{os.path.basename(argv[0])}: {error}"[:300],
            resolution="it must be executable in the content directory, its interpreter must be on the device, and the "
            "file system of system.state-dir must not be mounted noexec",
        ) from error  # fmt: skip
    with process:
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("a program was started without pipes")
        out, err = process.stdout.fileno(), process.stderr.fileno()
        heard = _Heard(hear, {out: _Lines(), err: _Lines()})
        try:
            in_time = _follow(heard, deadline) and _ends(process, deadline)
        finally:
            process.kill()  # the first process of its namespace: all others end with it
            status = process.wait()
    return Ended(status if in_time else None, heard.outputs[err].last, heard.last)


def _follow(heard: _Heard, deadline: float) -> bool:
    """Listens until both outputs end, at the latest with the namespace; tells whether that was in time."""
    poll = select.poll()
    open_fds = set(heard.outputs)
    for fd in open_fds:
        poll.register(fd, select.POLLIN)
    while open_fds:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        for fd, _ in poll.poll(left * 1000):
            piece = os.read(fd, _PIECE)
            heard.take(fd, piece)
            if not piece:
                poll.unregister(fd)
                open_fds.discard(fd)
    return True


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """A program may close its outputs and go on."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _printable(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return "".join(char if char.isprintable() else "?" for char in text[:MAX_LINE])
