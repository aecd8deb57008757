"""The real daemon, composed as `ota-agent daemon` composes it, that loses one process at one chosen moment, once.

    struck_daemon.py MARKER STATE VICTIM MOMENT --config FILE

VICTIM is ``daemon``, ``fetcher`` or ``installer``; MOMENT is ``entry`` (as soon as the record of the state is saved, or the
child started, if none was kept from the state before) or ``work`` (a little later). MARKER is written when it strikes; from
then on the daemon is left alone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent import journal
from agent.config import load
from agent.daemon import children
from agent.daemon.main import Daemon
from agent.daemon.record import Record

_WORKING = 0.06  # seconds: a child has started its work, the work of a small bundle is not over


def main() -> int:
    marker, state, victim, moment = Path(sys.argv[1]), *sys.argv[2:5]
    current = ""
    started: dict[str, list[children.Child]] = {"fetcher": [], "installer": []}

    def strike(pid: int) -> None:
        if not marker.exists():
            marker.write_text(f"{victim} {pid} in {state}\n")
            os.kill(pid, signal.SIGKILL)

    def soon(pid: int) -> None:
        if moment == "entry":
            strike(pid)
        else:
            timer = threading.Timer(_WORKING, strike, (pid,))
            timer.daemon = True
            timer.start()

    def entered(record: Record) -> None:
        nonlocal current
        current = record.state.value
        if current != state:
            return
        if victim == "daemon":
            soon(os.getpid())
        elif kept := [child for child in started[victim] if child.alive()]:
            soon(kept[-1].pid)

    def spawn(kind: str) -> children.Child:
        child = children.spawn(kind)
        started.setdefault(kind, []).append(child)
        if current == state and victim == kind:
            soon(child.pid)
        return child

    journal.setup()
    return Daemon(load([Path(sys.argv[6])]), spawn=spawn, observe=entered).run()


if __name__ == "__main__":
    sys.exit(main())
