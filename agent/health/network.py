"""What the network checks need of the process that may use the network."""

from __future__ import annotations

from typing import Protocol


class Prober(Protocol):
    """Asks for the checks; the daemon opens no connection itself. Each call ends in bounded time."""

    def get(self, url: str) -> int:
        """The status that a GET is answered with; raises OtaError when there is no answer."""
        ...

    def connect(self, host: str, port: int) -> None:
        """Opens a TCP connection and closes it; raises OtaError when that is not possible."""
        ...

    def close(self) -> None:
        """Ends what was started to ask; the next question starts it again."""
        ...
