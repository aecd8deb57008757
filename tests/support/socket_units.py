"""Socket activation without an init system: systemd-socket-activate accepts connections as the units' sockets do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import agent
from agent.demo.processes import everyone, kill_everyone

ENTRY = Path(agent.__file__).with_name("__main__.py")


class Unit:
    """One listening socket, and the processes that were started for its connections.

    Args:
        path: of the socket.
        leader: the process that listens.
    """

    def __init__(self, path: Path, leader: int) -> None:
        self.path = path
        self.leader = leader

    def instances(self) -> set[int]:
        """The living processes that serve a connection."""
        return everyone(self.leader) - {self.leader}


@contextmanager
def socket_unit(path: Path, *command: str, credentials: Path | None = None) -> Iterator[Unit]:
    """Listens at ``path`` and starts ``command`` for each connection, which becomes its standard input.

    Args:
        path: of the socket.
        command: arguments of Python in isolated mode.
        credentials: the directory that systemd would name to the service.
    """
    environment = [f"--setenv=CREDENTIALS_DIRECTORY={credentials}"] if credentials else []
    process = subprocess.Popen(
        ["systemd-socket-activate", "--accept", "--inetd", f"--listen={path}", *environment, sys.executable, "-I", *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 10
        while not path.is_socket():
            assert process.poll() is None, "systemd-socket-activate does not run"
            assert time.monotonic() < end, "nobody listens"
            time.sleep(0.01)
        yield Unit(path, process.pid)
    finally:
        kill_everyone(process.pid)
        process.wait()
