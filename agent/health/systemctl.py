"""One question to systemd through ``systemctl``: a child process, so that no D-Bus connection is kept open for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.process import run


class Systemctl:
    """How to ask.

    Args:
        timeout: seconds for one question.
        program: the program.
        stopping: whether the answer is not wanted any more.
    """

    def __init__(
        self, timeout: float, program: str = "systemctl", stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._timeout = timeout
        self._program = program
        self._stopping = stopping

    def ask(self, *words: str) -> tuple[list[str], str]:
        """The lines of the answer, or why there is none."""
        try:
            done = run((self._program, *words), self._timeout, self._stopping)
        except OSError as error:
            return [], f"systemctl cannot be started: {error.strerror}"
        if done.status is None:
            return [], f"systemctl did not answer within {self._timeout:g} s"
        return done.output.splitlines(), ""

    def show(self, properties: Sequence[str], *units: str) -> tuple[list[dict[str, str]], str]:
        """Properties of each unit, or of the manager when none is named; or why they are not known."""
        lines, problem = self.ask("show", f"--property={','.join(properties)}", "--", *units)
        found: list[dict[str, str]] = [{}]
        for line in lines:
            name, equals, value = line.partition("=")
            if equals:
                found[-1][name] = value
            elif not line and found[-1]:
                found.append({})
        return [each for each in found if each], problem
