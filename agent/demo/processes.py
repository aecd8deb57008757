"""Every process of one session, and the end of them all: what a power cut is to software."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_PATIENCE = 5.0  # seconds
_PROC = Path("/proc")


def everyone(leader: int) -> set[int]:
    """The living processes of the leader's session and everybody descended from them.

    The leader may be gone: the kernel does not give its number away while the session lives. A child that began a
    session of its own (a health check, the restart command) is found as a descendant.
    """
    sessions: dict[int, int] = {}
    parents: dict[int, int] = {}
    for entry in os.listdir(_PROC):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = _stat(int(entry))
            if fields[0] not in "ZX":
                parents[int(entry)], sessions[int(entry)] = int(fields[1]), int(fields[3])
    found = {pid for pid, session in sessions.items() if session == leader}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def kill_everyone(leader: int) -> int:
    """Kills the leader, its session and all descendants at once; returns how many there were.

    They are stopped first: nobody can start another process or write another byte while the rest is found.

    Raises:
        RuntimeError: somebody is still alive after 5 seconds.
    """
    end = time.monotonic() + _PATIENCE
    seen: set[int] = set()
    while left := everyone(leader) - seen:
        _signal(left, signal.SIGSTOP)
        seen |= left
    _signal(seen, signal.SIGKILL)
    while any(map(_alive, seen)):
        if time.monotonic() > end:
            raise RuntimeError(f"processes of session {leader} cannot be killed")
        time.sleep(0.005)
    return len(seen)


def _alive(pid: int) -> bool:
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """State, parent, process group, session and so on."""
    # proc(5): pid (comm) state ppid pgrp session ...; comm may hold anything, also brackets
    return (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def written_by(leader: int, program: str) -> tuple[int, int]:
    """What a child of the leader with ``program`` among its arguments has written so far, as the kernel counted it.

    Returns:
        Its process id, and the bytes given to write calls (proc(5), ``wchar``); zeros when there is no such child.
    """
    with contextlib.suppress(OSError, ValueError):
        for task in (_PROC / str(leader) / "task").iterdir():
            for child in (task / "children").read_text("ascii").split():
                if program.encode() in (_PROC / child / "cmdline").read_bytes().split(b"\0"):
                    counters = (_PROC / child / "io").read_text("ascii").split()
                    return int(child), int(counters[counters.index("wchar:") + 1])
    return 0, 0
