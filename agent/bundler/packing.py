"""The squashfs of a bundle: the same content makes the same bytes, whoever packs it, where and when.

mksquashfs gets a tar archive on its standard input, with names in order, and owners, modes and times that depend on
nothing but the content. The files are hashed on their way, so that what was hashed is what was packed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, get_args

from agent.bundle.payload import BLOCK, BlockHasher
from agent.bundle.source import PIECE
from agent.bundler.faults import bad_content
from agent.bundler.report import Step
from agent.errors import EnvironmentFault

Compression = Literal["gzip", "xz", "zstd", "lz4"]
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)
_GLANCE = 0.2  # seconds between two looks at a working mksquashfs


@dataclass(frozen=True, slots=True)
class Measured:
    """A packed file.

    Args:
        sha256: hexadecimal.
        size: bytes.
        block_digests: SHA-256 of each 4096 bytes, when they were asked for.
    """

    sha256: str
    size: int
    block_digests: bytes = b""


class Packer:
    """Writes a squashfs; a context manager.

    Args:
        out: the squashfs.
        compression: of its blocks.
        epoch: the time of everything in it, seconds since 1970.
        total: bytes that will come, for the progress.
        step: told about the progress.

    Raises:
        EnvironmentFault: ``build.tool-missing``; ``build.tool-failed`` from every method.
    """

    def __init__(self, out: Path, compression: Compression, *, epoch: int, total: int, step: Step) -> None:
        self._out = out
        self._total = total
        self._step = step
        self._done = 0
        argv = ["mksquashfs", "-", str(out), "-tar", "-noappend", "-no-progress", "-quiet", "-no-xattrs", "-all-root"]
        argv += ["-no-tailends", "-root-mode", "0755", "-mkfs-time", str(epoch), "-all-time", str(epoch)]
        argv += ["-comp", compression]
        # mksquashfs refuses its own options for times beside the variable.
        environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=self._said, stderr=self._said, env=environment
            )
        except FileNotFoundError as error:
            self._said.close()
            raise EnvironmentFault(
                "build.tool-missing",
                "mksquashfs is not installed",
                resolution="install squashfs-tools, 4.5 or newer",
                retryable=False,
            ) from error

    def __enter__(self) -> Packer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
            with suppress(OSError):  # what it did not read any more
                self._stdin.close()
            self._process.wait()
        self._said.close()

    def add_file(self, name: str, path: Path, *, with_digests: bool = False) -> Measured:
        """Packs a file; raises BuildError ``build.content-invalid`` when it changes meanwhile."""
        digest, blocks = hashlib.sha256(), BlockHasher()
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                self._header(name, status.st_size, 0o755 if status.st_mode & 0o100 else 0o644)
                left = status.st_size
                while piece := file.read(min(PIECE, left)):
                    digest.update(piece)
                    if with_digests:
                        blocks.update(piece)
                    self._feed(piece)
                    left -= len(piece)
                    self._done += len(piece)
                    self._step(f"packing {name}", self._done, self._total)
                if left or file.read(1):
                    raise bad_content(f"{path} changed while it was read", "try again when nobody writes to it")
                self._feed(bytes(-status.st_size % tarfile.BLOCKSIZE))
                return Measured(digest.hexdigest(), status.st_size, bytes(blocks.finish()))
        except OSError as error:
            raise bad_content(str(error)) from error

    def add_bytes(self, name: str, data: bytes) -> None:
        """Packs a file that is made here."""
        self._header(name, len(data), 0o644)
        self._feed(data + bytes(-len(data) % tarfile.BLOCKSIZE))

    def finish(self) -> None:
        """Waits for mksquashfs, and pads its file to whole blocks."""
        self._feed(bytes(2 * tarfile.BLOCKSIZE))
        self._stdin.close()
        self._step("compressing", 0, 0)
        while self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_GLANCE)
            self._step("compressing", self._out.stat().st_size if self._out.exists() else 0, 0)
        if self._process.returncode:
            raise self._failed()
        size = self._out.stat().st_size
        with self._out.open("ab") as file:
            # A hash tree needs whole blocks, and more than one; padding after a squashfs means nothing to its readers.
            file.write(bytes(max(2 * BLOCK, -(-size // BLOCK) * BLOCK) - size))

    @property
    def _stdin(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise RuntimeError("mksquashfs was started with a pipe")
        return self._process.stdin

    def _header(self, name: str, size: int, mode: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, mode
        self._feed(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))

    def _feed(self, data: bytes) -> None:
        try:
            self._stdin.write(data)
            self._stdin.flush()
        except BrokenPipeError as error:
            self._process.wait()
            raise self._failed() from error

    def _failed(self) -> EnvironmentFault:
        self._said.seek(0)
        said = self._said.read(64 * 1024).decode(errors="replace").strip()
        return EnvironmentFault(
            "build.tool-failed",
            "mksquashfs failed",
            details=said[-500:],
            resolution="read its message; the disk may be full, the compression not built in, or mksquashfs older than 4.5",
            retryable=False,
        )


def total_size(files: Mapping[str, Path]) -> int:
    """Bytes that the files have now."""
    return sum(path.stat().st_size for path in files.values())
