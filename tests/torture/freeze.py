"""A process that stands still, so that what it has written can be copied: on its files, the same as if it had been killed.

SIGSTOP stops every thread when it next returns from the kernel, so that a write that has begun ends; SIGKILL ends them at the
same place. What the process has in its memory reaches no file either way. QEMU's own ``stop`` is another thing: it waits for
requests and flushes.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_STEP, _LIMIT = 0.002, 20.0  # seconds


class Moving(RuntimeError):
    """A process does not stop."""


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """No thread of a process runs meanwhile; then all go on.

    Raises:
        Moving: a thread still runs after a while, or waits for a disk.
        ProcessLookupError: there is no such process.
    """
    os.kill(pid, signal.SIGSTOP)
    try:
        end = time.monotonic() + _LIMIT
        while not _stopped(pid):
            if time.monotonic() > end:
                raise Moving(f"process {pid} does not stop")
            time.sleep(_STEP)
        yield
    finally:
        with suppress(ProcessLookupError):  # it was killed meanwhile
            os.kill(pid, signal.SIGCONT)


def _stopped(pid: int) -> bool:
    """Whether all threads are in state T (proc_pid_stat(5))."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:  # it has ended
            continue
        if state != "T":
            return False
    return True
