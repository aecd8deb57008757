"""Squashfs images made by mksquashfs, and sources over bytes in memory."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.bundle.squashfs_format import invalid


class MemorySource:
    """A Source over bytes, with small pieces, that remembers what was asked of it."""

    def __init__(self, data: bytes, piece: int = 10_000) -> None:
        self.data = data
        self.piece = piece
        self.requests: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        self._note(offset, length)
        return self.data[offset : offset + length]

    def stream(self, offset: int, length: int) -> Iterator[bytes]:
        self._note(offset, length)
        for position in range(offset, offset + length, self.piece):
            yield self.data[position : min(position + self.piece, offset + length)]

    def _note(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > len(self.data):
            raise invalid(f"{length} bytes at {offset} of {len(self.data)}")
        self.requests.append((offset, length))


def compressible(size: int, seed: int) -> bytes:
    """Bytes of which about half can be squeezed away, different everywhere."""
    chooser = random.Random(seed)
    words = [chooser.randbytes(9) for _ in range(40)]
    parts: list[bytes] = []
    length = 0
    while length < size:
        parts.append(chooser.choice(words) if chooser.random() < 0.8 else chooser.randbytes(12))
        length += len(parts[-1])
    return b"".join(parts)[:size]


def make_image(folder: Path, files: Mapping[str, bytes], *options: str) -> bytes:
    """Packs ``files`` with mksquashfs and returns the image."""
    content = folder / "content"
    content.mkdir()
    for name, data in files.items():
        (content / name).write_bytes(data)
    return pack(content, folder / "image.squashfs", *options)


def pack(content: Path, image: Path, *options: str) -> bytes:
    """Runs mksquashfs over a folder."""
    argv = ["mksquashfs", str(content), str(image), "-noappend", "-no-progress", "-quiet", "-processors", "1", *options]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return image.read_bytes()
