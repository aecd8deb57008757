"""Does a web service answer, on this device or elsewhere?"""

from __future__ import annotations

from agent.errors import OtaError
from agent.health.network import Prober
from agent.health.result import CheckResult, green, red


class UrlCheck:
    """A GET must be answered with a status of 2xx.

    Args:
        url: the address.
        prober: asks.
    """

    def __init__(self, url: str, prober: Prober) -> None:
        self.name = f"url {url.split('?', 1)[0]}"  # a query may hold a secret
        self._url = url
        self._prober = prober

    def run(self) -> CheckResult:
        """Asks once."""
        try:
            status = self._prober.get(self._url)
        except OtaError as error:
            return red(self.name, str(error))
        return (
            green(self.name, f"HTTP status {status}")
            if 200 <= status < 300
            else red(self.name, f"HTTP status {status}")
        )
