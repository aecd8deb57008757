"""A network of its own, which the harness and the container share and which outlives every boot."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from agent.demo.tools import bound_to_us

_CLONE_NEWNET = 0x40000000  # linux/sched.h


class Network:
    """A network namespace; only loopback is in it.

    Attributes:
        path: for ``systemd-nspawn --network-namespace-path=``.
    """

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [*bound_to_us(), "unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL
        )
        self.path = f"/proc/{self._holder.pid}/ns/net"
        ours = os.stat("/proc/self/ns/net").st_ino
        while os.stat(self.path).st_ino == ours:  # unshare(1) has not come to it yet
            if self._holder.poll() is not None:
                raise RuntimeError("no network namespace could be made")
        self.up()

    def up(self) -> None:
        """Everybody in it reaches everybody."""
        self._ip("link", "set", "lo", "up")

    def down(self) -> None:
        """The cable is out."""
        self._ip("link", "set", "lo", "down")

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["nsenter", f"--net={self.path}", "ip", *arguments], check=True, capture_output=True)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes belong to the network; they stay in it afterwards."""
        with open("/proc/thread-self/ns/net", "rb") as ours, open(self.path, "rb") as theirs:
            _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def close(self) -> None:
        """Gives it up; it ends with the last process and socket in it."""
        self._holder.kill()
        self._holder.wait()


def _enter(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
