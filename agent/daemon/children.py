"""Starting the other processes, and noticing when one dies.

A child is this interpreter run again in isolated mode, with a Unix socket as its standard input: the same shape as a
socket-activated service. It inherits nothing else but standard error.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import agent
from agent.errors import EnvironmentFault
from agent.wire import Channel, Frame

_log = logging.getLogger(__name__)
_ENTRY = Path(agent.__file__).with_name("__main__.py")
_ENDING = 10.0  # seconds for a process that was killed
_ENVIRONMENT = ("PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Spawn(Protocol):
    """How a child is started; the one real implementation is ``spawn``."""

    def __call__(self, kind: str) -> Child:
        """Starts ``fetcher``, ``installer`` or ``scrubber``."""
        ...


class Child:
    """A running fetcher, installer or scrubber.

    Args:
        kind: ``fetcher``, ``installer`` or ``scrubber``.
        process: the operating system's handle.
        channel: our end of its standard input.
    """

    def __init__(self, kind: str, process: subprocess.Popen[bytes], channel: Channel) -> None:
        self.kind = kind
        self.channel = channel
        self._process = process

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def fileno(self) -> int:
        """For ``select``: readable when the child has spoken or is gone."""
        return self.channel.fileno()

    def receive(self, timeout: float | None) -> Frame:
        """Returns the next message.

        Raises:
            EnvironmentFault: ``child.died`` with how it ended, ``ipc.timeout``, ``ipc.protocol``.
        """
        try:
            frame = self.channel.recv(timeout)
        except EnvironmentFault as error:
            if error.code == "ipc.peer-gone":
                raise self.death() from error
            raise
        if frame is None:
            raise self.death()
        return frame

    def death(self) -> EnvironmentFault:
        """Explains how the child ended; waits briefly for the operating system to know."""
        try:
            status = self._process.wait(2)
        except subprocess.TimeoutExpired:
            status = None
        if status is None:
            how = "it closed its socket but still runs"
        elif status < 0:
            how = f"killed by {signal.Signals(-status).name}"
        else:
            how = f"exit status {status}"
        return EnvironmentFault(
            "child.died", f"the {self.kind} ended before it had answered", details=how,
            resolution="the work is tried again; see the journal for what it said last",
        )  # fmt: skip

    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the child: it is asked by the end of its input, then killed."""
        self.channel.close()
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._reap()

    def _reap(self) -> None:
        """One that the kernel does not let go, because of a medium that hangs, is left to the next start of a process."""
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            _log.error("the %s does not end", self.kind, extra={"OTA_ERROR_CODE": "child.silent"})

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def spawn(kind: str, *, started: Callable[[str, int], None] | None = None) -> Child:
    """Starts a child.

    Args:
        kind: ``fetcher``, ``installer`` or ``scrubber``.
        started: told the kind and the process id.

    Raises:
        EnvironmentFault: ``child.not-started``.
    """
    ours, theirs = socket.socketpair()
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    try:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", str(_ENTRY), kind],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
            )
    except OSError as error:
        ours.close()
        raise EnvironmentFault("child.not-started", f"the {kind} cannot be started", details=str(error)) from error
    if started is not None:
        started(kind, process.pid)
    return Child(kind, process, Channel(ours, kind))
