"""What the surroundings say: power, the kind of connection, locks against a shutdown, a busy file.

Services that are not there say nothing. Each answer is good for some seconds; none is asked for that the policy does not need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from agent.bus.calls import BusCallError
from agent.bus.logind import Caller, blocking
from agent.config import PolicySettings
from agent.consent.rules import Hold

LOOK = 60.0  # seconds between two looks at a gate that an update waits for
_FRESH = 5.0  # seconds
_NO_SERVICE = (
    "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.UnknownObject", "unreachable",
)  # fmt: skip
_METERED = (1, 3)  # NM_METERED_YES, NM_METERED_GUESS_YES

_log = logging.getLogger(__name__)


class Services(Caller, Protocol):
    """``agent.bus.calls.Bus``."""

    def get(self, service: str, path: str, interface: str, name: str) -> Any:  # noqa: ANN401 - a property of any type
        """Reads a property."""
        ...


class Gates:
    """Looks at the gates of a policy.

    Args:
        bus: for UPower, NetworkManager and logind.
        boottime: seconds since the boot.
        supplies: of the kernel, where UPower is not there.
    """

    def __init__(
        self, bus: Services, boottime: Callable[[], float], supplies: Path = Path("/sys/class/power_supply")
    ) -> None:
        self._bus = bus
        self._boottime = boottime
        self._supplies = supplies
        self._seen: tuple[PolicySettings, float, frozenset[Hold]] | None = None
        self.inhibited: tuple[tuple[str, str], ...] = ()

    def forget(self) -> None:
        """What was seen before does not count any more: somebody wants it to be looked at now."""
        self._seen = None

    def shut(self, policy: PolicySettings) -> frozenset[Hold]:
        """The gates that are shut now; who inhibits a shutdown, and why, is in ``inhibited`` afterwards."""
        seen = self._seen  # another thread may forget it at any time
        if seen is not None and seen[0] == policy and 0 <= self._boottime() - seen[1] < _FRESH:
            return seen[2]
        self.inhibited = self._inhibitors() if policy.inhibitors else ()
        shut = {
            Hold.POWER: policy.power != "any" and not self._powered(policy.power),
            Hold.METERED: policy.metered == "avoid" and self._is_metered(),
            Hold.BUSY: policy.busy_file is not None and policy.busy_file.exists(),
            Hold.INHIBITOR: bool(self.inhibited),
        }
        found = frozenset(hold for hold, closed in shut.items() if closed)
        self._seen = (policy, self._boottime(), found)  # a service may have kept us waiting
        return found

    def _powered(self, wanted: str) -> bool:
        external, charge = self._upower() or self._kernel()
        if external:
            return True
        least = wanted.partition(":")[2]
        return bool(least) and charge is not None and charge >= int(least)

    def _upower(self) -> tuple[bool, float | None] | None:
        """Whether there is external power, and the charge in percent; None without UPower."""
        service, path = "org.freedesktop.UPower", "/org/freedesktop/UPower"
        on_battery = self._property(service, path, service, "OnBattery")
        if not isinstance(on_battery, bool):
            return None
        if not on_battery:
            return True, None
        charge = self._property(service, f"{path}/devices/DisplayDevice", f"{service}.Device", "Percentage")
        return False, float(charge) if isinstance(charge, int | float) else None

    def _kernel(self) -> tuple[bool, float | None]:
        """The same from power_supply(5) of sysfs; without a battery of its own a device runs on external power."""
        external, charges = False, []
        for supply in sorted(self._supplies.glob("*")):
            kind = _line(supply / "type")
            if kind == "Battery" and _line(supply / "scope") != "Device":  # not that of a mouse
                charge = _line(supply / "capacity")
                charges.append(float(charge) if charge.isdecimal() else 0.0)
            elif kind != "Battery" and _line(supply / "online") not in ("", "0"):
                external = True
        return external or not charges, min(charges, default=None)

    def _is_metered(self) -> bool:
        service = "org.freedesktop.NetworkManager"
        return self._property(service, "/org/freedesktop/NetworkManager", service, "Metered") in _METERED

    def _inhibitors(self) -> tuple[tuple[str, str], ...]:
        try:
            return blocking(self._bus)
        except BusCallError as error:
            _told(error, "inhibitors")
            return ()

    def _property(self, service: str, path: str, interface: str, name: str) -> object:
        try:
            return self._bus.get(service, path, interface, name)
        except BusCallError as error:
            _told(error, name)
            return None


def _told(error: BusCallError, what: str) -> None:
    """A service that is not there is nothing unusual; one that does not answer is, but updates matter more."""
    if error.name not in _NO_SERVICE:
        _log.warning("%s cannot be asked for: %s", what, error)


def _line(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
