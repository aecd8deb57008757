"""A running development server and a running fetcher, for tests of any room."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.bundle.source import RemoteSource
from agent.demo.server import DevServer
from agent.demo.server_tls import Tls, make_tls
from agent.wire import Channel, Frame

TOKEN = "a-target-token-that-must-stay-secret"
DEVICE = "dev1"
FETCHER = [sys.executable, "-c", "from agent.fetcher.main import main; raise SystemExit(main([]))"]


@dataclass
class Running:
    """A server, the files of its TLS identity, and what to tell a fetcher about it."""

    server: DevServer
    tls: Tls | None

    @property
    def ca_pem(self) -> str:
        return self.tls.ca_pem if self.tls else ""

    def session(self, **changes: Any) -> dict[str, Any]:
        """The fetcher's ``session`` message for this server and the device ``dev1``."""
        return {
            "op": "session",
            "ca_pem": self.ca_pem,
            "auth": {"scheme": "TargetToken", "token": TOKEN},
            "origin": self.server.url,
            "user": "",
            "connect_timeout": 5,
            "read_timeout": 5,
            **changes,
        }

    def offer(self, path: Path, **changes: Any) -> tuple[str, str]:
        """Assigns a file to ``dev1``; returns the action id and the download address."""
        module = self.server.upload(path, **changes)
        action = self.server.assign(DEVICE, module)
        name = module.artifacts[0].filename
        return action, f"{self.server.controller_url(DEVICE)}/softwaremodules/{module.id}/artifacts/{name}"


@contextmanager
def running_server(tmp_path: Path, *, plain: bool = False, tls: Tls | None = None, **options: Any) -> Iterator[Running]:
    """Runs a server with a fresh TLS identity and the device ``dev1`` whose token is ``TOKEN``.

    Args:
        tmp_path: where the certificate goes.
        plain: HTTP instead of HTTPS.
        tls: use this identity.
        options: further arguments of DevServer.
    """
    identity = None if plain else tls or make_tls(tmp_path / "devserver-tls")
    files = (identity.cert, identity.key) if identity else (None, None)
    with DevServer(("127.0.0.1", 0), *files, **options) as server:
        server.add_target(DEVICE, TOKEN)
        yield Running(server, identity)


class Fetcher:
    """The real fetcher process and our end of its control channel."""

    def __init__(self, command: list[str] | None = None, env: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                command or FETCHER, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
            )
        self.channel = Channel(ours, "fetcher")
        self._sources: list[Channel] = []

    def ask(self, header: Mapping[str, Any], body: bytes = b"", timeout: float = 60) -> Frame:
        self.channel.send(header, body)
        return self.answer(timeout)

    def answer(self, timeout: float = 60) -> Frame:
        frame = self.channel.recv(timeout)
        if frame is None:
            raise AssertionError(f"the fetcher is gone: {self.end()}")
        return frame

    def get(self, url: str, *, method: str = "GET", max_body: int = 65536, body: bytes = b"", **headers: str) -> Frame:
        """One request; header names with underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask({"op": "request", "method": method, "url": url, "headers": named, "max_body": max_body}, body)

    def serve(self, url: str, size: int, report: int = 0) -> RemoteSource:
        """Starts to serve a file; the returned source reads it. Close ``source_channel`` to end."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.channel.send({"op": "serve", "url": url, "size": size, "report": report}, fds=[theirs.fileno()])
        self.source_channel = Channel(ours, "fetcher")
        self._sources.append(self.source_channel)
        return RemoteSource(self.source_channel, size)

    def end(self) -> tuple[int, bytes]:
        """Ends the conversation; returns exit status and everything that was printed."""
        for channel in (self.channel, *self._sources):
            channel.close()
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out + err


@contextmanager
def running_fetcher(**options: Any) -> Iterator[Fetcher]:
    """Runs the fetcher; it must end by itself, quietly and with status 0."""
    fetcher = Fetcher(**options)
    try:
        yield fetcher
        ended = fetcher.end()
        if ended != (0, b""):
            raise AssertionError(f"the fetcher ended with {ended}")
    finally:
        if fetcher.process.poll() is None:
            fetcher.process.kill()
            fetcher.end()


def error_of(frame: Frame) -> dict[str, Any]:
    """The error in a frame; fails when it is none."""
    assert frame.op == "error", frame.header
    parts = frame.header["error"]
    assert isinstance(parts, dict)
    return parts


def random_file(path: Path, size: int) -> bytes:
    """Writes a file of random bytes."""
    data = os.urandom(size)
    path.write_bytes(data)
    return data
