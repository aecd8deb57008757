"""Does the device say itself that it works? A program of the integrator answers by its exit status."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

from agent.health.result import CheckResult, green, red
from agent.process import Finished, run


class CommandCheck:
    """A command must exit with status 0; the last line of its output tells why it did not.

    Args:
        argv: program and arguments; no shell is involved.
        timeout: seconds, after which the command and all its children are killed.
        name: of the check; None: made from the program's.
        stopping: whether the answer is not wanted any more; then they are killed at once.
    """

    def __init__(
        self,
        argv: Sequence[str],
        timeout: float,
        *,
        name: str | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._argv = tuple(argv)
        self._timeout = timeout
        self._stopping = stopping
        self.name = name if name is not None else f"command {os.path.basename(argv[0])}"

    def run(self) -> CheckResult:
        """Runs the command."""
        try:
            done = run(self._argv, self._timeout, self._stopping)
        except OSError as error:
            return red(self.name, f"cannot be started: {error.strerror}")
        return green(self.name, done.last_line) if done.status == 0 else red(self.name, self._reason(done))

    def _reason(self, done: Finished) -> str:
        if done.status is None:
            how = f"not ready after {self._timeout:g} s"
        elif done.status < 0:
            how = f"killed by {_signal_name(-done.status)}"
        else:
            how = f"exit status {done.status}"
        return f"{done.last_line} ({how})" if done.last_line else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name
        return f"signal {number}"
