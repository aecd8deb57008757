"""Time limits for calls into the kernel that have none: a file system on a dying medium, or on a server that is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")
_LOOK = 0.1  # seconds between two looks at whether to stop


class Bounded(Generic[_T]):
    """Runs something in a thread and waits for it only so long.

    A thread that hangs in the kernel cannot be ended. It is left behind, and as long as it hangs no second one is started.

    Args:
        work: what is run.
        stopping: whether the answer is not wanted any more.
    """

    def __init__(self, work: Callable[[], _T], stopping: Callable[[], bool] = lambda: False) -> None:
        self._work = work
        self._stopping = stopping
        self._thread: threading.Thread | None = None
        self._answers: list[_T | OSError] = []

    def run(self, timeout: float) -> _T:
        """Returns what the work returns.

        Raises:
            OSError: what the work raised; TimeoutError when it was not done in time, or is not wanted any more.
        """
        if self._thread is None or not self._thread.is_alive():
            self._answers = []
            self._thread = threading.Thread(target=self._run, name="health", args=(self._answers,), daemon=True)
            self._thread.start()
        left = timeout
        while self._thread.is_alive() and left > 0 and not self._stopping():
            self._thread.join(min(left, _LOOK))
            left -= _LOOK
        if not self._answers:
            raise TimeoutError(f"not done after {timeout:g} s")
        answer = self._answers.pop()
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _run(self, answers: list[_T | OSError]) -> None:
        try:
            answers.append(self._work())
        except OSError as error:
            answers.append(error)
