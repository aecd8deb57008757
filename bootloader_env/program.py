"""Runs a program that changes or tells a boot environment: clean environment, time limit, its own words on failure."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence

from bootloader_env.errors import BootEnvError

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
MAX_OUTPUT = 64 * 1024  # bytes that are looked at


def run(argv: Sequence[str], *, timeout: float) -> str:
    """Runs a program to its end and returns its standard output; whatever it leaves behind is killed.

    Args:
        argv: the program and its arguments; no shell is involved.
        timeout: seconds.

    Raises:
        BootEnvError: ``bootenv.program-missing``, ``bootenv.program-failed``, ``bootenv.program-timeout``.
    """
    # Files instead of pipes: a process that it leaves in the background must not keep us waiting for the end of a pipe.
    with _memory("stdout") as out, _memory("stderr") as err:
        try:
            process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=ENVIRONMENT, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise BootEnvError(
                "bootenv.program-missing", "the program for the boot environment cannot be started", details=str(error),
                resolution="install it, or correct its path in the [bootloader] section",
            ) from error  # fmt: skip
        status = _wait(process, timeout)
        if status == 0:
            return _text(out)
        said = (_last_line(_text(err)) or _last_line(_text(out)))[:200]
        if status is None:
            raise BootEnvError(
                "bootenv.program-timeout", "the program for the boot environment took too long",
                details=f"{argv[0]} was ended after {timeout:g} s; its last words: {said!r}", retryable=True,
            )  # fmt: skip
        raise BootEnvError(
            "bootenv.program-failed", "the program for the boot environment failed",
            details=f"{' '.join(argv)[:200]}: status {status}: {said}", retryable=True,
            resolution="run the same command by hand and mend what it complains about",
        )  # fmt: skip


@contextlib.contextmanager
def _memory(name: str) -> Iterator[int]:
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _wait(process: subprocess.Popen[bytes], timeout: float) -> int | None:
    """Returns the status, or None when the time was over."""
    fd = os.pidfd_open(process.pid)
    try:
        end = select.poll()
        end.register(fd, select.POLLIN)
        ended = bool(end.poll(timeout * 1000))
    finally:
        os.close(fd)
        with contextlib.suppress(ProcessLookupError):  # the leader is not reaped yet: its number names this group only
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    return status if ended else None


def _text(fd: int) -> str:
    return os.pread(fd, MAX_OUTPUT, 0).decode("utf-8", "replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(character if character.isprintable() else "?" for character in lines[-1]) if lines else ""
