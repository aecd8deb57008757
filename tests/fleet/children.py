"""The fetcher and the installer as threads: the same code behind the same sockets, without the cost of a process.

``agent.daemon.children`` starts each with ``python3 -I``, which takes longer than all of its work for a small bundle.
What is missing here is what only a process has: its own user, namespaces, the interval timer of ``agent.fetcher.deadline``
(the timeouts of single reads remain), and that it can be killed. ``test_children.py`` holds both side by side.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from agent.errors import EnvironmentFault
from agent.fetcher import main as fetcher
from agent.installer import main as installer
from agent.wire import Channel, Frame, WireError


class ThreadChild:
    """Has the interface of ``agent.daemon.children.Child``.

    Args:
        kind: ``fetcher`` or ``installer``.
        channel: makes our end of the conversation.
    """

    def __init__(self, kind: str, channel: Callable[[socket.socket, str], Channel] = Channel) -> None:
        self.kind, self.pid = kind, 0
        ours, theirs = socket.socketpair()
        self.channel = channel(ours, kind)
        serve = _fetch if kind == "fetcher" else _install
        self._thread = threading.Thread(target=_until_closed, args=(serve, Channel(theirs, "daemon")), daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        return self.channel.fileno()

    def receive(self, timeout: float | None) -> Frame:
        frame = self.channel.recv(timeout)
        if frame is None:
            raise EnvironmentFault("child.died", f"the {self.kind} ended before it had answered")
        return frame

    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self.channel.close()
        self._thread.join(20)

    def __enter__(self) -> ThreadChild:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _until_closed(serve: Callable[[Channel], None], channel: Channel) -> None:
    try:
        serve(channel)
    except WireError:
        pass  # the daemon has hung up in the middle of a message
    finally:
        channel.close()


def _fetch(channel: Channel) -> None:
    fetcher.Conversation(channel).run()


def _install(channel: Channel) -> None:
    proof = None
    while (frame := channel.recv()) is not None:
        proof = installer._answer(channel, frame, "", proof)
