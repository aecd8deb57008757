"""A progress bar on standard error, for work that takes longer than a moment and has somebody watching."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

_PATIENCE = 2.0  # seconds before anything is shown
_INTERVAL = 0.1  # seconds between two updates
_WIDTH = 30  # characters


class ProgressBar:
    """Shows what is being done; silent when the work is short or the stream is not a terminal.

    Args:
        stream: usually standard error.
        clock: seconds that only grow.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._wanted = stream.isatty()
        self._next = clock() + _PATIENCE
        self._shown = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tells how far the work is; ``total`` 0 when nobody knows."""
        if not self._wanted or self._clock() < self._next:
            return
        self._next = self._clock() + _INTERVAL
        self._shown = True
        self._stream.write(f"\r\x1b[K{_line(what, done, total)}")
        self._stream.flush()

    def clear(self) -> None:
        """Removes the bar, so that a message can take its place."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


def _line(what: str, done: int, total: int) -> str:
    if total <= 0:
        return f"{what} ... {done / 1e6:.0f} MB" if done else f"{what} ..."
    part = min(done / total, 1.0)
    filled = int(part * _WIDTH)
    return f"{what} [{'#' * filled}{'.' * (_WIDTH - filled)}] {part:4.0%} of {total / 1e6:.0f} MB"
