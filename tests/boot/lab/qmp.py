"""QEMU's machine protocol: commands, their answers, and events (docs/interop/qmp-spec.rst of QEMU)."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any


class Refused(AssertionError):
    """QEMU answered with an error."""


class Qmp:
    """A connection to the monitor of a QEMU process.

    Args:
        path: the Unix socket where it listens, or will within a minute.
    """

    def __init__(self, path: Path) -> None:
        self._socket = _connected(path, 60)
        self._heard = b""
        self._events: deque[dict[str, Any]] = deque()
        self.resets = 0  # of the guest, by itself or on request; the start is none
        self._answer("QMP", 60)
        self.ask("qmp_capabilities")

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def ask(self, execute: str, **arguments: Any) -> Any:
        """Executes a command and returns what it returned; ``_`` in names of arguments stands for ``-``.

        Raises:
            Refused: it failed.
        """
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._socket.sendall(json.dumps({"execute": execute, "arguments": named}).encode() + b"\n")
        return self._answer("return", 120)

    def listen(self) -> None:
        """Takes note of the events that have come."""
        while (message := self._message(0)) is not None:
            self._note(message)

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The events that have come, oldest first; of one name, or all."""
        self.listen()
        return [event for event in self._events if name in ("", event["event"])]

    def _answer(self, key: str, seconds: float) -> Any:
        end = time.monotonic() + seconds
        while True:
            message = self._message(max(0.001, end - time.monotonic()))
            if message is None:
                raise Refused(f"QEMU does not answer within {seconds:.0f} s")
            if key in message:
                return message[key]
            if "error" in message:
                raise Refused(message["error"]["desc"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._events.append(message)
            # Loading a snapshot resets the devices without a word here, and the start of QEMU comes before us.
            self.resets += message["event"] == "RESET"

    def _message(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None when none comes in time, or the process has ended."""
        self._socket.settimeout(seconds)
        while b"\n" not in self._heard:
            try:
                heard = self._socket.recv(65536)
            except (BlockingIOError, TimeoutError, ConnectionError):
                return None
            if not heard:
                return None
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        message = json.loads(line)
        assert isinstance(message, dict)
        return message


def _connected(path: Path, seconds: float) -> socket.socket:
    """A connection; the socket is in the file system from bind(2) on, and refuses all until listen(2)."""
    end = time.monotonic() + seconds
    while True:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.connect(str(path))
        except ConnectionRefusedError:
            made.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return made
