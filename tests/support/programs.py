"""A device with real block devices, and bundles with programs in them, for the real installer process. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pki.build import pem, shared_pki

from agent.bundler.build import create
from agent.bundler.content import read_directory
from agent.daemon.children import Child, spawn
from agent.errors import from_explained
from agent.wire import Frame
from support.bundles import some_image
from support.disks import loop, run
from support.frames import common
from support.signing import signer_of

MIB = 1024 * 1024
APP = some_image(300_000, seed=3)
LINES = "compatible=demo-board\nversion=2\nbuild=42"


@dataclass
class Device:
    """Slots rootfs.0 and rootfs.1 (ext4), and below them appfs.0 and appfs.1 (raw); rootfs.0 runs."""

    directory: Path
    nodes: dict[str, str]
    child: Child
    said: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)

    @property
    def work(self) -> Path:
        """Where programs find what they are given."""
        return self.directory / "hooks"

    def send(self, op: str, bundle: Path, **more: object) -> None:
        fd = os.open(bundle, os.O_RDONLY)
        try:
            self.child.channel.send({"op": op, **self.common(), **more}, fds=(fd,))
        finally:
            os.close(fd)

    def ask(self, op: str, bundle: Path, **more: object) -> Frame:
        """Sends a request and returns the final answer."""
        self.send(op, bundle, **more)
        while True:
            frame = self.child.receive(60)
            if frame.op == "said":
                self.said.append(frame.text("text"))
                self.progress.append(frame.text("progress"))
            elif frame.op not in ("progress", "checkpoint"):
                return frame

    def known(self, bundle: Path, **more: object) -> dict[str, object]:
        """Inspects, and returns what the next request must say."""
        answer = self.ask("inspect", bundle, **more)
        assert answer.op == "inspected", answer.header
        return {"manifest_hash": answer.text("manifest_hash"), **self.plan(), **more}

    def check(self, bundle: Path, **more: object) -> Frame:
        return self.ask("check", bundle, **self.known(bundle, **more))

    def install(self, bundle: Path, **more: object) -> Frame:
        return self.ask("install", bundle, **self.known(bundle, **more))

    def installed(self, bundle: Path, **more: object) -> dict[str, str]:
        """Installs, and tells for each slot which program has changed it."""
        answer = self.install(bundle, **more)
        assert answer.op == "installed", answer.header
        return {each["slot"]: each["changed_by"] for each in answer.header["results"]}

    def common(self) -> dict[str, object]:
        return common(self.directory / "root.pem", programs=self.leave())

    def leave(self, **changes: object) -> dict[str, object]:
        """What the daemon sends when it allows programs."""
        return {
            "timeout": 20, "directory": str(self.work), "config": "/etc/ota-agent/ota-agent.toml",
            "compatible": "demo-board", "variant": "", "version": "1", "bootname": "A", "transaction": "7",
            "targets": ["rootfs.1", "appfs.1"], "slots": [self.slot(name) for name in self.nodes], **changes,
        }  # fmt: skip

    def plan(self) -> dict[str, object]:
        slots = [self.slot("rootfs.1"), self.slot("appfs.1")]
        return {"booted": [self.nodes["rootfs.0"], self.nodes["appfs.0"]], "starts": {}, "slots": slots}

    def slot(self, name: str) -> dict[str, object]:
        slot_class, index = name.split(".")
        root = slot_class == "rootfs"
        return {
            "name": name, "class": slot_class, "index": int(index), "device": self.nodes[name],
            "type": "ext4" if root else "raw", "bootname": "AB"[int(index)] if root else "",
            "parent": "" if root else f"rootfs.{index}",
        }  # fmt: skip

    def bundle(
        self, name: str, program: str, groups: str, *, kind: str = "verity", first: str = "#!/bin/sh\n", **files: bytes
    ) -> Path:
        """A bundle with the root file system, ``app.img``, and a program that is a shell script unless ``first`` is empty."""
        content = self.directory / f"{name}.content"
        content.mkdir()
        (content / "manifest.raucm").write_text(f"[update]\n{LINES}\n\n{groups}")
        (content / "program").write_text(first + program)
        (content / "program").chmod(0o755)
        os.link(self.directory / "rootfs.ext4", content / "rootfs.ext4")
        (content / "app.img").write_bytes(APP)
        for file, data in files.items():
            (content / file).write_bytes(data)
        signer, path = shared_pki().signer("good-intermediate"), self.directory / f"{name}.raucb"
        create(
            read_directory(content), path, signer=signer_of(signer), intermediates=signer.intermediates,
            bundle_format=kind,  # type: ignore[arg-type]  # one of two words
        )  # fmt: skip
        return path

    def read(self, slot: str, name: str) -> str:
        """A file in the ext4 file system of a slot."""
        return run("debugfs", "-R", f"cat {name}", self.nodes[slot])


def refusal(answer: Frame) -> tuple[str, str]:
    """Code and details of an error."""
    assert answer.op == "error", answer.header
    error = from_explained(answer.header["error"])
    return error.code, error.details


@contextmanager
def device(directory: Path) -> Iterator[Device]:
    (directory / "root.pem").write_bytes(pem(shared_pki().root))
    run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", directory / "rootfs.ext4", "4M")
    with ExitStack() as stack:
        nodes = {}
        for name, size in (("rootfs.0", 4), ("rootfs.1", 6), ("appfs.0", 1), ("appfs.1", 1)):
            file = directory / f"{name}.img"
            file.write_bytes(bytes(size * MIB))
            nodes[name] = stack.enter_context(loop(file))
        child = stack.enter_context(spawn("installer"))
        yield Device(directory, nodes, child)
