"""Is a service there on the message bus?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.bus.calls import BusCallError
from agent.health.result import CheckResult, green, red

if TYPE_CHECKING:
    from agent.bus.calls import Bus

_BUS = "org.freedesktop.DBus"


class BusNameCheck:
    """A name on the bus must have an owner. Nobody is started for it: that would hide that the service has died.

    Args:
        name: the well-known name.
        bus: on which to look.
        timeout: seconds for the question.
    """

    def __init__(self, name: str, bus: Bus, timeout: float) -> None:
        self.name = f"dbus {name}"
        self._wanted = name
        self._bus = bus
        self._timeout = timeout

    def run(self) -> CheckResult:
        """Asks the bus itself (D-Bus Specification, org.freedesktop.DBus.NameHasOwner)."""
        try:
            (owned,) = self._bus.call(
                _BUS, "/org/freedesktop/DBus", _BUS, "NameHasOwner", "s", self._wanted, timeout=self._timeout
            )
        except BusCallError as error:
            return red(self.name, f"the bus cannot be asked: {error.message}")
        return green(self.name, "owned") if owned else red(self.name, "nobody owns the name")
