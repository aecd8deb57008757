"""A medium that is being looked into: the daemon's end of the conversation with a finder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.config import MediaSettings
from agent.daemon.children import Child
from agent.daemon.context import Context
from agent.errors import EnvironmentFault, from_explained
from agent.media.search import MAX_BUNDLES, MAX_PATH, Bundle
from agent.wire import Frame, WireError

_PATIENCE = 60.0  # seconds; the kernel gives a USB disk 30 for each request
_ANSWER = 10.0  # seconds for the rest of a message that has begun


class Medium:
    """A mounted medium.

    Attributes:
        files: the bundles on it.
        complete: whether all of it was looked at.
    """

    def __init__(self, child: Child, ask: Callable[[Child, dict[str, object]], Frame], looked: Frame) -> None:
        self._child = child
        self._ask = ask
        self.files = _files(looked)
        self.complete = looked.header.get("complete") is True

    def open(self, path: str) -> int:
        """Opens one of the files for reading; the caller closes it.

        Raises:
            OtaError: ``media.unreadable``, ``child.died``, ``ipc.protocol``.
        """
        answer = self._ask(self._child, {"op": "open", "path": path})
        if answer.op != "opened" or len(answer.fds) != 1:
            _close(answer)
            raise WireError("ipc.protocol", "the finder answered something else", details=answer.op[:60])
        return answer.fds[0]


@contextmanager
def mounted_medium(
    context: Context, settings: MediaSettings, device: str, look: Callable[[], None] = lambda: None
) -> Iterator[Medium]:
    """Has a medium mounted and searched; at the end nothing of it is mounted by us any more.

    Args:
        context: the collaborators.
        settings: which file systems and names.
        device: its node.
        look: called while the finder works; may raise to give up.

    Raises:
        OtaError: ``media.filesystem``, ``media.mount-failed``, ``media.mount-forbidden``, ``media.unplugged``,
            ``media.unreadable``, ``child.died``, ``child.not-started``.
    """

    def ask(child: Child, request: dict[str, object]) -> Frame:
        child.channel.send(request)
        end = context.clock.boottime() + _PATIENCE
        while not context.inbox.wait(end - context.clock.boottime(), (child,)):
            look()
            if context.clock.boottime() >= end:
                raise EnvironmentFault(
                    "media.unreadable", "the medium does not answer", details=f"{device}, for {_PATIENCE:.0f} s",
                    resolution="use another medium",
                )  # fmt: skip
        answer = child.receive(_ANSWER)
        if answer.op == "error":
            _close(answer)
            parts = answer.header.get("error")
            raise from_explained(parts if isinstance(parts, dict) else {})
        return answer

    with context.spawn("finder") as child:
        request: dict[str, object] = {
            "op": "look", "device": device, "filesystems": list(settings.filesystems), "pattern": settings.pattern,
            "depth": settings.depth,
        }  # fmt: skip
        answer = ask(child, request)
        if answer.op != "looked":
            _close(answer)
            raise WireError("ipc.protocol", "the finder answered something else", details=answer.op[:60])
        yield Medium(child, ask, answer)


def _files(looked: Frame) -> list[Bundle]:
    found = looked.header.get("files")
    entries = [Frame(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [
        Bundle(each.text("path")[:MAX_PATH], each.number("size"), each.number("mtime"))
        for each in entries[:MAX_BUNDLES]
    ]


def _close(frame: Frame) -> None:
    for fd in frame.fds:
        os.close(fd)
