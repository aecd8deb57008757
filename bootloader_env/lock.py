"""An exclusive lock that is waited for, but not for ever."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bootloader_env.errors import BootEnvError, io_failed

_PAUSE = 0.05  # seconds between two tries


@contextmanager
def locked(path: str, timeout: float) -> Iterator[None]:
    """Holds ``flock`` on a file, which is created if needed, or on an existing directory.

    Args:
        path: the file. It is created for root only: whoever may open it could keep everybody else waiting.
        timeout: seconds to wait for another holder.

    Raises:
        BootEnvError: ``bootenv.locked`` when the time is over, ``bootenv.io`` when the file cannot be opened.
    """
    flags = os.O_RDONLY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise io_failed("the lock of the boot environment cannot be opened", error) from error
    try:
        _wait(fd, path, timeout)
        yield
    finally:
        os.close(fd)


def _wait(fd: int, path: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BootEnvError(
                    "bootenv.locked",
                    "another program keeps the boot environment locked",
                    details=f"{path} was not free for {timeout:g} seconds",
                    resolution="find the program with: fuser -v " + path,
                    retryable=True,
                ) from None
            time.sleep(_PAUSE)
        else:
            return
