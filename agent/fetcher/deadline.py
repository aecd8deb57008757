"""A limit for the whole of an operation, because a server that sends a byte now and then never runs into a read timeout."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class DeadlinePassed(Exception):
    """The operation took too long."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Interrupts the block with DeadlinePassed after ``seconds``. Only in the main thread (signal(7)), and not nested."""

    def expired(_signal: int, _frame: FrameType | None) -> None:
        raise DeadlinePassed(f"more than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
