"""Can the new system still be updated? One that has lost its server could never be repaired again from there."""

from __future__ import annotations

from collections.abc import Callable

from agent.errors import OtaError
from agent.health.result import CheckResult, green, red


class ServerCheck:
    """The server must answer.

    Args:
        contact: talks to the server once, in bounded time; raises OtaError when it could not.
    """

    name = "server"

    def __init__(self, contact: Callable[[], None]) -> None:
        self._contact = contact

    def run(self) -> CheckResult:
        """Talks to the server."""
        try:
            self._contact()
        except OtaError as error:
            return red(self.name, str(error))
        return green(self.name, "answers")
