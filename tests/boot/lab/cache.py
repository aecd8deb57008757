"""Parts that take long to make are made once: below ``build/boot``, or where ``OTA_BOOT_CACHE`` says."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[3]
_KEPT = 6  # of a name: two architectures, and those of the revision before
_DIGITS = 12
_MAKING = ".making-"


def home() -> Path:
    """Where parts are kept; it is made if it is not there."""
    directory = Path(os.environ.get("OTA_BOOT_CACHE") or ROOT / "build/boot")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def cached(
    name: str, key: str | bytes | Sequence[str | bytes], make: Callable[[Path], None], *, keep: int = _KEPT
) -> Path:
    """A file or a directory that is made if it is not there yet. Whoever needs it at the same time waits.

    Args:
        name: what it is, for people; without a slash.
        key: all that the content depends on.
        make: is given a path at which there is nothing, and makes the part there.
        keep: how many of this name stay; those unused for the longest time go.

    Returns:
        Its path. Nobody may change what is there.
    """
    path = home() / f"{name}-{_digest(key)}"
    with _alone(path):
        if not path.exists():
            _drop_remains(path)
            making = path.with_name(f"{_MAKING}{path.name}-{uuid.uuid4().hex[:8]}")
            try:
                make(making)
                making.rename(path)
            finally:
                _remove(making)
        os.utime(path)
    _keep_newest(path, name, keep)
    return path


def _digest(key: str | bytes | Sequence[str | bytes]) -> str:
    parts = [key] if isinstance(key, str | bytes) else list(key)
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:_DIGITS]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = path.with_name(f".{path.name}.lock")
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _drop_remains(path: Path) -> None:
    """What a process has left that was killed while it made this part; nobody else makes it now."""
    for left in path.parent.glob(f"{_MAKING}{path.name}-*"):
        _remove(left)


def _keep_newest(path: Path, name: str, keep: int) -> None:
    found = []
    for other in path.parent.glob(f"{name}-{'[0-9a-f]' * _DIGITS}"):
        with suppress(FileNotFoundError):
            found.append((other.stat().st_mtime, other))
    for _, other in sorted(found, reverse=True)[keep:]:
        if other != path:
            with _alone(other):
                _remove(other)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
