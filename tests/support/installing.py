"""The real fetcher and the real installer, connected as the daemon connects them, with a slot in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pki.build import pem, shared_pki

from agent.daemon.children import Child, spawn
from agent.wire import Frame
from support.frames import common
from support.server import Fetcher, Running, running_fetcher

MIB = 1024 * 1024


@dataclass
class Chain:
    """Both processes and what they work on.

    Args:
        directory: holds the keyring, the running slot, the target ``rootfs.img`` and the spool.
        fetcher: reads from the server.
        installer: verifies and writes.
    """

    directory: Path
    fetcher: Fetcher
    installer: Child
    heard: list[Frame] = field(default_factory=list)

    def ask(self, op: str, url: str, size: int, **more: Any) -> Frame:
        """Sends a request with a fresh transfer of ``url``; returns the final answer, the rest is in ``heard``."""
        self.fetcher.serve(url, size)
        fd = self.fetcher.source_channel.fileno()
        self.installer.channel.send({"op": op, **self.common(size), **more}, fds=(fd,))
        self.fetcher.source_channel.close()
        self.heard = []
        while True:
            frame = self.installer.receive(120)
            if frame.op not in ("progress", "checkpoint"):
                self.served = self.fetcher.answer()
                return frame
            self.heard.append(frame)
            self.watch()

    def watch(self) -> None:
        """Called at every progress message; tests replace it."""

    def install(self, url: str, size: int, **more: Any) -> Frame:
        """Inspects and installs."""
        answer = self.ask("inspect", url, size)
        assert answer.op == "inspected", answer.header
        slot = {"name": "rootfs.1", "class": "rootfs", "index": 1, "device": str(self.slot), "type": "raw"}
        plan = {"booted": [str(self.directory / "running.img")], "starts": {}, "slots": [slot]}
        return self.ask("install", url, size, manifest_hash=answer.text("manifest_hash"), **{**plan, **more})

    def common(self, size: int) -> dict[str, Any]:
        return common(self.directory / "root.pem", size=size, spool=str(self.directory / "spool" / "bundle"))

    @property
    def slot(self) -> Path:
        return self.directory / "rootfs.img"

    def peak(self) -> float:
        """The installer's largest resident size so far, in MiB."""
        return peak(self.installer.pid)


def peak(pid: int) -> float:
    """The largest resident size of a process so far, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


@contextmanager
def chain(
    directory: Path, running: Running | None = None, *, origin: str = "", slot_size: int = 24 * MIB
) -> Iterator[Chain]:
    """Starts both; the fetcher has a session with ``running``, or with ``origin``."""
    (directory / "root.pem").write_bytes(pem(shared_pki().root))
    (directory / "spool").mkdir(exist_ok=True)
    for name, size in (("running", MIB), ("rootfs", slot_size)):
        with (directory / f"{name}.img").open("wb") as file:
            file.truncate(size)
    with running_fetcher() as fetcher, spawn("installer") as installer:
        terms = running.session() if running else {"op": "session", "ca_pem": "", "origin": origin, "user": ""}
        assert fetcher.ask(terms).op == "ok"
        yield Chain(directory, fetcher, installer)


def error_code(frame: Frame) -> str:
    """The code of the error in an answer; fails when it is none."""
    assert frame.op == "error", frame.header
    parts = frame.header["error"]
    assert isinstance(parts, dict)
    return str(parts["code"])
