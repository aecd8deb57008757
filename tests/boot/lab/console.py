"""What a machine says on its serial port, and the root shell that waits for the harness on another one."""

from __future__ import annotations

import base64
import re
import socket
import time
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_LINE = 3000  # characters: a terminal in canonical mode takes 4095 bytes a line (termios(3))
_TAIL = 4000
_AGAIN = 15.0  # seconds
_END = re.compile(rb"\n>> (\d+) 0\n")


class Unheard(AssertionError):
    """What was waited for was not said, or the machine has ended."""


class Console:
    """The serial port. What comes out of it is in a file, which goes on over several starts of the machine.

    Args:
        log: that file.
        pause: waits a moment while the machine goes on; raises when it has ended.
    """

    def __init__(self, log: Path, pause: Callable[[], object]) -> None:
        self.log, self._pause = log, pause
        self.keys: BinaryIO | None = None  # what is typed
        self._heard, self._read = "", 0  # without carriage returns; bytes of the log that are in it
        self._position = 0  # in what was heard: ``expect`` has gone past this
        self._times: list[tuple[int, float]] = []  # how much was heard by when

    @property
    def text(self) -> str:
        """All of it."""
        self.listen()
        return self._heard

    def listen(self) -> None:
        """Takes note of what was said since the last time, see ``when``."""
        if self.log.exists():
            with self.log.open("rb") as log:
                log.seek(self._read)
                new = log.read()
            if new:
                self._heard += new.decode("ascii", "replace").replace("\r", "")
                self._read += len(new)
                self._times.append((len(self._heard), time.time()))

    @property
    def tail(self) -> str:
        """The end, for messages."""
        return self.text[-_TAIL:]

    def when(self, position: int) -> float:
        """Seconds since 1970 at which this position of ``text`` had been heard; whoever waits for the machine listens."""
        return self._times[bisect_left(self._times, (position, 0.0))][1]

    def expect(self, pattern: str, seconds: float = 300) -> re.Match[str]:
        """Waits until this was said after what was expected before.

        Args:
            pattern: a regular expression; ``^`` and ``$`` are the ends of a line.
            seconds: of patience; a machine that runs beside others needs a multiple of its time.

        Raises:
            Unheard: it was not.
        """
        wanted, end = re.compile(pattern, re.MULTILINE), time.monotonic() + seconds
        while True:
            if match := wanted.search(self.text, self._position):
                self._position = match.end()
                return match
            if time.monotonic() > end:
                raise Unheard(f"not said within {seconds:.0f} s: {pattern}\n{self.tail}")
            self._pause()

    def type(self, text: str) -> None:
        """Sends characters."""
        assert self.keys is not None, "it is off"
        self.keys.write(text.encode())
        self.keys.flush()


class Shell:
    """A root shell in the guest: POSIX, with base64 of the coreutils, on a port that may echo.

    Args:
        path: of the Unix socket that is the other end of the port.
        pause: waits a moment while the machine goes on; raises when it has ended.
        generation: tells how often the machine was reset; a command does not survive that.
    """

    def __init__(self, path: Path, pause: Callable[[], object], generation: Callable[[], int]) -> None:
        self._pause, self._generation = pause, generation
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._socket.setblocking(False)
        self._heard, self._number = b"", 0

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def wait(self, seconds: float = 300) -> None:
        """Waits until it answers: the system has booted so far.

        Raises:
            Unheard: it does not.
        """
        end, first = time.monotonic() + seconds, self._number + 1
        while time.monotonic() < end:
            # What was sent to a system that goes down is lost. But whoever asks often is answered late: each question takes
            # time, and an answer to any of them will do.
            self._send("true")
            again = min(end, time.monotonic() + _AGAIN)
            while time.monotonic() < again:
                self._hear()
                if any(int(number) >= first for number in _END.findall(self._heard)):
                    return
                self._pause()
        raise Unheard(f"no shell within {seconds:.0f} s")

    def ask(self, command: str, seconds: float = 300) -> tuple[int, str]:
        """Runs a command, without input; returns its status, and what it has written without the last line break.

        Raises:
            Unheard: it has not ended in this time, or the machine was reset.
        """
        before = self._generation()
        answer = self._answered(self._send(command), time.monotonic() + seconds, before)
        if answer is None:
            why = "the machine was reset" if self._generation() != before else f"not within {seconds:.0f} s"
            raise Unheard(f"no end of {command}: {why}")
        return answer

    def run(self, command: str, seconds: float = 300) -> str:
        """As ``ask``, and it must succeed; returns what it has written.

        Raises:
            AssertionError: it has failed, see also ``ask``.
        """
        status, text = self.ask(command, seconds)
        assert status == 0, f"{command}: {status} {text}"
        return text

    def read(self, path: str) -> bytes:
        """A file of the guest."""
        return base64.b64decode(self.run(f"base64 -w 0 '{path}'"))

    def write(self, path: str, content: bytes) -> None:
        """Makes or replaces a file of the guest."""
        self.run(f"base64 -d >'{path}' <<'end'\n{base64.encodebytes(content).decode()}end")

    def _send(self, command: str) -> int:
        """Sends a command between two marks; what is echoed of the line does not look like them."""
        self._number += 1
        code = base64.b64encode(command.encode()).decode()
        lines = ["c="] + [f"c=${{c}}{code[at : at + _LINE]}" for at in range(0, len(code), _LINE)]
        mark = f"printf '\\n%s {self._number} %s\\n'"
        run = '( eval "$(echo $c | base64 -d)" ) </dev/null 2>&1'
        lines.append(f"{mark} '<<' 0; {run}; {mark} '>>' $?")
        self._socket.settimeout(60)
        self._socket.sendall(("\n".join(lines) + "\n").encode())
        self._socket.setblocking(False)
        return self._number

    def _answered(self, number: int, end: float, generation: int | None) -> tuple[int, str] | None:
        """The status and the output of a command; None when time is up, or the machine is of another generation."""
        wanted = re.compile(rb"\n<< %d 0\n(.*)\n>> %d (\d+)\n" % (number, number), re.DOTALL)
        while True:
            self._hear()
            if match := wanted.search(self._heard):
                self._heard = self._heard[match.end() :]
                return int(match[2]), match[1].decode("utf-8", "replace").rstrip("\n")
            if time.monotonic() > end or generation not in (None, self._generation()):
                return None
            self._pause()

    def _hear(self) -> None:
        try:
            while heard := self._socket.recv(65536):
                self._heard += heard.replace(b"\r", b"")
        except BlockingIOError:
            pass
