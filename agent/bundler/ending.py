"""The end of a bundle, its signature, and the moment at which a finished file gets its name."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.bundle.layout import MAX_SIGNATURE
from agent.bundler.faults import BuildError, exists
from agent.bundler.report import Step

_SLICE = 64 * 1024 * 1024  # bytes copied between two looks at the progress
_CANNOT = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Gives a path for a file beside ``target``; what is there at the end is published, after an error nothing.

    Raises:
        BuildError: ``build.exists``.
    """
    if target.exists():
        raise exists(target)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        path = Path(scratch) / "bundle"
        yield path
        publish(path, target)


def append_signature(bundle: Path, signature: bytes) -> None:
    """Ends a bundle with its signature and the length of it, and makes it durable."""
    if len(signature) > MAX_SIGNATURE:
        raise BuildError(
            "build.too-large",
            "the signature is too large",
            details=f"it has {len(signature)} bytes, with the manifest and the certificates; at most {MAX_SIGNATURE}",
            resolution="shorten the texts of the manifest, or carry fewer certificates",
        )
    with bundle.open("ab") as file:
        file.write(signature + len(signature).to_bytes(8, "big"))
        file.flush()
        os.fsync(file.fileno())


def copy_start(source: int, size: int, out: Path, step: Step) -> None:
    """Copies the first bytes of an open file without reading them: shared blocks where the file system can.

    Args:
        source: descriptor.
        size: bytes.
        out: made anew.
        step: told about the progress.
    """
    with out.open("xb") as file:
        done = 0
        by_reference = True
        while done < size:
            wanted = min(_SLICE, size - done)
            count = 0
            if by_reference:
                try:
                    count = os.copy_file_range(source, file.fileno(), wanted, done, done)
                except OSError as error:
                    if error.errno not in _CANNOT:
                        raise
                by_reference = count > 0
            if not by_reference:
                os.lseek(file.fileno(), done, os.SEEK_SET)
                count = os.sendfile(file.fileno(), source, done, wanted)
            if count == 0:
                raise OSError(errno.EIO, "the bundle became shorter while it was copied")
            done += count
            step("copying the payload", done, size)


def write_new(path: Path, data: bytes) -> None:
    """Writes a file that must not exist; raises BuildError ``build.exists``."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise exists(path) from error


def publish(bundle: Path, target: Path) -> None:
    """Gives the finished file its name; never replaces another."""
    bundle.chmod(0o644)
    try:
        os.link(bundle, target)
    except FileExistsError as error:
        raise exists(target) from error
    except OSError:  # a file system without hard links, such as FAT
        os.rename(bundle, target)
