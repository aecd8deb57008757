"""Stands between the daemon and what it uses, passes everything on, and tells the moments before and after."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.daemon.store import Store
from agent.errors import EnvironmentFault, explain
from agent.wire import Channel, Frame
from bootloader_env.port import BootEnv, BootState, Capabilities
from fleet.children import ThreadChild
from fleet.strikes import Lost

Tell = Callable[..., None]


class NotedStore(Store):
    """The real store."""

    def __init__(self, directory: Path, tell: Tell) -> None:
        self._tell = tell
        super().__init__(directory)

    def save(self, name: str, values: dict[str, object]) -> None:
        self._tell(f"before {name} is saved")
        super().save(name, values)
        self._tell(f"after {name} was saved")


class NotedEnv:
    """The real boot environment."""

    def __init__(self, env: BootEnv, tell: Tell) -> None:
        self._env, self._tell = env, tell

    @property
    def capabilities(self) -> Capabilities:
        return self._env.capabilities

    def current(self) -> str:
        return self._env.current()

    def read(self) -> BootState:
        return self._env.read()

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        return self._env.heal(bootname, good)

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        self._write("activate", lambda: self._env.activate(target, fallback=fallback, trial=trial))

    def confirm(self, bootname: str) -> None:
        self._write("confirm", lambda: self._env.confirm(bootname))

    def revert(self, bad: str, good: str) -> None:
        self._write("revert", lambda: self._env.revert(bad, good))

    def mark_good(self, bootname: str) -> None:
        self._write("mark good", lambda: self._env.mark_good(bootname))

    def _write(self, what: str, write: Callable[[], None]) -> None:
        self._tell(f"before the boot environment: {what}")
        write()
        self._tell(f"after the boot environment: {what}")


class NotedChild(ThreadChild):
    """A fetcher or an installer.

    Args:
        kind: which.
        tell: the moments.
        hear: told each request with its answer: method, path, body, and the answer's frame.
    """

    def __init__(self, kind: str, tell: Tell, hear: Callable[[str, str, bytes, Frame | None], None]) -> None:
        super().__init__(kind, lambda sock, peer: _NotedChannel(sock, peer, self))
        self._tell, self._hear = tell, hear
        self._asked: tuple[str, str, bytes] = ("", "", b"")

    def passes(self, header: Mapping[str, Any], body: bytes) -> None:
        """The daemon is about to say something."""
        if header["op"] == "request":
            self._asked = (header["method"], urlsplit(header["url"]).path, body)
            self._hear(*self._asked, None)
        else:
            self._asked = ("", header["op"], b"")
        if header["op"] not in ("session", "serve"):  # neither is an exchange with the server
            self._tell(f"before {self._what}")

    @property
    def _what(self) -> str:
        method, path, _ = self._asked
        parts = ["N" if part.isdigit() else part for part in path.split("/controller/v1/")[-1].split("/")]
        return f"{method} {'/'.join(['device', *parts[1:]])}" if method else f"{self.kind}: {path}"

    def receive(self, timeout: float | None) -> Frame:
        frame = super().receive(timeout)
        if self._asked[1] in ("session", "serve") or frame.op in ("progress", "checkpoint", "said"):
            return frame
        if frame.op == "response":
            self._hear(*self._asked, frame)
        try:
            self._tell(f"after {self._what}", answer=True)
        except Lost:
            if self.kind == "installer":
                raise EnvironmentFault("child.died", "the installer ended before it had answered") from None
            lost = EnvironmentFault("net.connect", "the server closed the connection without an answer")
            return Frame({"op": "error", "error": explain(lost)})
        return frame


class _NotedChannel(Channel):
    def __init__(self, sock: socket.socket, peer: str, child: NotedChild) -> None:
        super().__init__(sock, peer)
        self._child = child

    def send(self, header: Mapping[str, Any], body: bytes | memoryview = b"", fds: Sequence[int] = ()) -> None:
        self._child.passes(header, bytes(body))
        super().send(header, body, fds)


def links_of(answer: Frame) -> Mapping[str, object]:
    """The links in the answer to a poll."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    found = document.get("_links") if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}
