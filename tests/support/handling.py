"""Handlers of slots at work on loop devices: what goes in, what was heard, what came of it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from slots.handlers.port import Content, Written
from slots.handlers.table import handler_for
from slots.model import Slot

MIB = 1024 * 1024
Add = Callable[[tarfile.TarFile], None]


@dataclass
class Heard:
    """A ``Watch`` that remembers."""

    written: list[int] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)

    def wrote(self, done: int) -> None:
        self.written.append(done)

    def checked(self, done: int) -> None:
        self.read.append(done)

    def checkpoint(self, offset: int) -> None:
        self.checkpoints.append(offset)


def slot_on(device: str | Path, kind: str = "raw", **more: object) -> Slot:
    return Slot("rootfs.1", "rootfs", 1, str(device), kind, bootname="B", **more)  # type: ignore[arg-type]


def content_of(data: bytes, kind: str, *, name: str = "", sha256: str = "", piece: int = 100_000) -> Content:
    """An image whose bytes come in pieces of an odd size."""

    def pieces(start: int) -> Iterable[bytes]:
        return (data[begin : begin + piece] for begin in range(start, len(data), piece))

    digest = sha256 or (hashlib.sha256(data).hexdigest() if kind != "emptyfs" else "")
    return Content(name or f"rootfs.{kind}", kind, len(data), digest, pieces)


def install(
    slot: Slot, content: Content, *, booted: Iterable[str] = (), start: int = 0, heard: Heard | None = None
) -> Written:
    return handler_for(slot.type, content.kind).install(
        slot, content, booted=tuple(booted), start=start, watch=heard or Heard()
    )


def entry(name: str, kind: bytes = tarfile.REGTYPE, **more: object) -> tarfile.TarInfo:
    """A header; attributes of TarInfo in ``more``."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode, info.mtime = (0o755 if kind == tarfile.DIRTYPE else 0o644), 1_700_000_000
    for key, value in more.items():
        setattr(info, key, value)
    return info


def archive(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    """An archive in pax format; a member with content is a pair."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode, format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:  # type: ignore[call-overload]
        for member in members:
            info, data = member if isinstance(member, tuple) else (member, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()
