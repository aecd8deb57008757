"""Does somebody listen on a port, on this device or elsewhere?"""

from __future__ import annotations

from agent.errors import OtaError
from agent.health.network import Prober
from agent.health.result import CheckResult, green, red


class TcpCheck:
    """A connection must be accepted; nothing is sent.

    Args:
        endpoint: ``host:port``; an IPv6 address stands in brackets.
        prober: connects.
    """

    def __init__(self, endpoint: str, prober: Prober) -> None:
        self.name = f"tcp {endpoint}"
        host, _, port = endpoint.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._prober = prober

    def run(self) -> CheckResult:
        """Connects once."""
        try:
            self._prober.connect(self._host, self._port)
        except OtaError as error:
            return red(self.name, str(error))
        return green(self.name, "accepts connections")
