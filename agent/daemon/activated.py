"""Children that systemd starts: one instance of a socket-activated service for each conversation.

The daemon connects to a socket that only root may use, and systemd starts the fetcher or the installer in a sandbox of its
own (``ota-agent-fetch@.service``, ``ota-agent-install@.service``). The conversation is the same as with a child of ours, and
descriptors pass through it. What is different: nobody here can wait for the process, so that its end is seen by its
connection, which systemd holds, too, until the last process of the unit is gone.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from agent.daemon.children import Child
from agent.errors import EnvironmentFault
from agent.wire import Channel

_log = logging.getLogger(__name__)
_ENDING = 10.0  # seconds for a process to end after its conversation was ended


class Activated(Child):
    """A process at the other end of a connection that systemd has accepted.

    Args:
        kind: ``fetcher`` or ``installer``.
        channel: our end.
    """

    def __init__(self, kind: str, channel: Channel) -> None:
        self.kind = kind
        self.channel = channel

    @property
    def pid(self) -> int:
        """0: the process is systemd's."""
        return 0

    def death(self) -> EnvironmentFault:
        """Explains the end; how the process ended is known to systemd, which writes it to the journal."""
        return EnvironmentFault(
            "child.died", f"the {self.kind} ended before it had answered", details="its connection was closed",
            resolution="the work is tried again; see the journal for what systemd says of its unit",
        )  # fmt: skip

    def alive(self) -> bool:
        """Whether the connection has not ended."""
        return not _hung_up(self.channel, 0.0)

    def close(self) -> None:
        """Ends the process, which watches for just that, and waits until nothing of its unit is left."""
        self.channel.hang_up()
        if not _hung_up(self.channel, _ENDING):
            # The next connection is turned away by MaxConnections= as long as this one does not end.
            _log.error("the %s does not end", self.kind, extra={"OTA_ERROR_CODE": "child.silent"})
        self.channel.close()


class Sockets:
    """Starts fetcher and installer through their sockets where there are any, and else as children.

    Args:
        places: the path of the socket of each kind that has one.
        spawn: starts a child.
    """

    def __init__(self, places: dict[str, Path | None], spawn: Callable[[str], Child]) -> None:
        self._places = places
        self._spawn = spawn
        self._told: dict[str, bool] = {}

    def activated(self, kind: str) -> bool:
        """Whether systemd starts this kind: its socket is there."""
        place = self._places.get(kind)
        there = place is not None and place.is_socket()
        if self._told.get(kind) is not there:
            self._told[kind] = there
            _log.info("each %s is %s", kind, f"started by systemd: {place}" if there else "a child of the daemon")
        return there

    def __call__(self, kind: str) -> Child:
        """Starts ``fetcher``, ``installer`` or ``scrubber``.

        Raises:
            EnvironmentFault: ``child.not-started``.
        """
        place = self._places.get(kind)
        if place is None or not self.activated(kind):
            return self._spawn(kind)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(place))
        except OSError as error:
            sock.close()
            raise EnvironmentFault(
                "child.not-started", f"the {kind} cannot be started", details=f"{place}: {error}",
                resolution="systemctl status ota-agent-fetch.socket ota-agent-install.socket",
            ) from error  # fmt: skip
        return Activated(kind, Channel(sock, kind))


def _hung_up(channel: Channel, seconds: float) -> bool:
    """Waits for the end of the connection, whatever is still to be read from it."""
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLRDHUP)  # and POLLHUP, which is always told
    end = time.monotonic() + seconds
    while True:
        if poll.poll(max(0.0, end - time.monotonic()) * 1000):
            return True
        if time.monotonic() >= end:
            return False
