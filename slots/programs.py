"""Runs the field's own programs on a slot: mkfs, fsck, resize2fs, flash tools. Clean environment, bounded in time and output.

Programs of the device's system, never of a bundle. A program gets no shell, no terminal, and the descriptors that are named.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from slots.errors import SlotError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C"}  # messages go into reports: one language for all
MAX_OUTPUT = 64 * 1024  # bytes kept of each output, the last ones
_PIECE = 64 * 1024
_PACKAGES = {
    "mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools", "fsck.vfat": "dosfstools",
    "flash_erase": "mtd-utils", "nandwrite": "mtd-utils", "nanddump": "mtd-utils",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        status: exit status; minus the signal's number when a signal ended it.
        output: the end of standard output.
        errors: the end of standard error.
    """

    status: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """The last line of standard error that says something, else of standard output; printable and short."""
        for text in (self.errors, self.output):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return "".join(char if char.isprintable() else "?" for char in lines[-1])[:200]
        return "it said nothing"


def require(*names: str) -> None:
    """Makes sure that programs are installed.

    Raises:
        SlotError: ``slot.program-missing``, naming all that are.
    """
    missing = [name for name in names if not _installed(name)]
    if missing:
        packages = sorted({_PACKAGES[name] for name in missing if name in _PACKAGES})
        raise SlotError(
            "slot.program-missing", "a program that the slot needs is not installed", details=", ".join(missing),
            resolution=f"install {', '.join(packages) or 'it'} in the running system",
        )  # fmt: skip


def run(
    *argv: str,
    timeout: float,
    accept: Collection[int] = (0,),
    feed: Iterable[bytes | memoryview] | None = None,
    keep: Collection[int] = (),
    retryable: bool = True,
) -> Ended:
    """Runs a program and waits for it.

    Args:
        *argv: the program, found on ``PATH``, and its arguments.
        timeout: seconds for all of it.
        accept: exit statuses that mean success.
        feed: what it reads from standard input; nothing when not given. Whatever the iterable raises ends the program.
        keep: descriptors that the program inherits, such as a lock that must outlive us if we are killed.
        retryable: whether another try may succeed when it fails.

    Raises:
        SlotError: ``slot.program-missing``, ``slot.program-failed``, ``slot.program-timeout``.
    """
    require(argv[0])
    deadline = time.monotonic() + timeout
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd="/",
        umask=0o022,
        pass_fds=tuple(keep),
        start_new_session=True,
    )
    pipes = _Pipes(process, iter(feed or ()))
    try:
        in_time = pipes.follow(deadline) and _ends(process, deadline)
    finally:
        process.kill()  # nothing happens when it has ended
        pipes.close()
        status = process.wait()
    ended = Ended(status, *pipes.texts())
    if not in_time:
        raise SlotError(
            "slot.program-timeout", "a program that works on the slot took too long",
            details=f"{argv[0]}: still running after {timeout:.0f} s; it said last: {ended.last_words}",
            resolution="it is tried again; if this repeats, the storage may hang", retryable=True,
        )  # fmt: skip
    if status not in accept:
        how = f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
        raise SlotError(
            "slot.program-failed", "a program that works on the slot failed",
            details=f"{argv[0]}: {how}; it said last: {ended.last_words}",
            resolution=("it is tried again; if this repeats, " if retryable else "")
            + "run the program by hand to see all that it says",
            retryable=retryable,
        )  # fmt: skip
    return ended


def _installed(name: str) -> bool:
    return any(os.access(f"{directory}/{name}", os.X_OK) for directory in PATH.split(":"))


@dataclass(slots=True)
class _Pipes:
    """Feeds a program and listens to it at the same time, so that neither waits for the other for ever."""

    process: subprocess.Popen[bytes]
    feed: Iterator[bytes | memoryview]
    heard: dict[int, bytes] = field(default_factory=dict)

    def follow(self, deadline: float) -> bool:
        """Until both outputs end; tells whether that was in time."""
        poll = select.poll()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                self.heard[pipe.fileno()] = b""
                poll.register(pipe, select.POLLIN)
        listening, rest = set(self.heard), memoryview(b"")
        if self.process.stdin is not None:
            os.set_blocking(self.process.stdin.fileno(), False)
            poll.register(self.process.stdin, select.POLLOUT)
        while listening:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for fd, _ in poll.poll(left * 1000):
                if fd in listening:
                    if not self._listen(fd):
                        poll.unregister(fd)
                        listening.discard(fd)
                else:
                    more = self._give(fd, rest)
                    if more is None:
                        poll.unregister(fd)
                        self._hang_up()
                    else:
                        rest = more
        return True

    def _listen(self, fd: int) -> bool:
        piece = os.read(fd, _PIECE)
        self.heard[fd] = (self.heard[fd] + piece)[-MAX_OUTPUT:]
        return bool(piece)

    def _give(self, fd: int, rest: memoryview) -> memoryview | None:
        """What of the piece is left to be written; None when there is nothing more to give, or nobody to take it."""
        while not rest:
            piece = next(self.feed, None)
            if piece is None:
                return None
            rest = memoryview(piece).cast("B")
        try:
            return rest[os.write(fd, rest) :]
        except BlockingIOError:
            return rest
        except BrokenPipeError:  # its exit status tells why
            return None

    def _hang_up(self) -> None:
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def close(self) -> None:
        """Closes our ends."""
        self._hang_up()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def texts(self) -> tuple[str, str]:
        """What was said: standard output, standard error."""
        out, err = (*self.heard.values(), b"", b"")[:2]
        return out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """A program may close its outputs and go on."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True
