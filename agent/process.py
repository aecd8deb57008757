"""Runs a program of the system to its end: clean environment, bounded output, and never longer than allowed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
MAX_OUTPUT = 16 * 1024  # bytes kept, the last ones
_LOOK = 0.1  # seconds between looks at a program whose output stays open


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Attributes:
        status: exit status; minus the signal's number when a signal ended it; None when the time was over, or nobody wanted
            to wait any longer.
        output: the end of standard output and standard error, in the order in which they were written.
    """

    status: int | None
    output: str

    @property
    def last_line(self) -> str:
        """The last line that says something, printable and short."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return "".join(char if char.isprintable() else "?" for char in lines[-1])[:200] if lines else ""


def run(argv: Sequence[str], timeout: float, stopping: Callable[[], bool] = lambda: False) -> Finished:
    """Runs a program and waits for it; whatever it leaves behind in its process group is killed.

    Args:
        argv: the program, found on the PATH of ``ENVIRONMENT``, and its arguments; no shell is involved.
        timeout: seconds.
        stopping: looked at again and again; the program is killed once it is true.

    Raises:
        OSError: it cannot be started.
    """
    deadline = time.monotonic() + timeout
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    with process:
        try:
            output, ended = _follow(process, deadline, stopping)
        finally:
            # The leader is not reaped yet, so its number still names this group and no other.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
    return Finished(status if ended else None, output.decode("utf-8", "replace"))


def _follow(process: subprocess.Popen[bytes], deadline: float, stopping: Callable[[], bool]) -> tuple[bytes, bool]:
    """Collects output until the program ends or the time is over; tells which."""
    output = b""
    open_fds = [process.stdout.fileno()] if process.stdout else []
    while True:
        ended = _has_ended(process.pid)
        left = 0.0 if stopping() else deadline - time.monotonic()
        wait = 0.0 if ended else max(0.0, min(left, _LOOK))
        poll = select.poll()
        for fd in open_fds:
            poll.register(fd, select.POLLIN)
        readable = [fd for fd, _ in poll.poll(wait * 1000)]
        if readable:
            piece = os.read(open_fds[0], 65536)
            output = (output + piece)[-MAX_OUTPUT:]
            if not piece:
                open_fds.clear()
        if (ended and not readable) or (left <= 0 and not ended):
            return output, ended


def _has_ended(pid: int) -> bool:
    """Whether our child has ended; it stays a zombie, so that its number is not given to another process."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
