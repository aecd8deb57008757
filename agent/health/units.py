"""Are the services up that make the device what it is?"""

from __future__ import annotations

from collections.abc import Sequence

from agent.health.result import CheckResult, green, red
from agent.health.systemctl import Systemctl

# org.freedesktop.systemd1(5), ActiveState: the only states in which a unit does its work.
_UP = ("active", "reloading", "refreshing")


class UnitsCheck:
    """Every named unit must be active; a oneshot service needs ``RemainAfterExit=yes`` to stay so.

    Args:
        units: full unit names, without patterns.
        systemctl: whom to ask; one question for all.
    """

    name = "units"

    def __init__(self, units: Sequence[str], systemctl: Systemctl) -> None:
        self._units = tuple(units)
        self._systemctl = systemctl

    def run(self) -> CheckResult:
        """Red with the units that are not up, and their states."""
        # The exit status of is-active is 0 as soon as one unit is active: only its lines tell about each.
        states, problem = self._systemctl.ask("is-active", "--", *self._units)
        if problem:
            return red(self.name, problem)
        if len(states) != len(self._units):
            return red(self.name, f"systemctl answered {' / '.join(states) or 'nothing'}")
        down = [f"{unit} is {state}" for unit, state in zip(self._units, states, strict=True) if state not in _UP]
        return red(self.name, ", ".join(down)) if down else green(self.name, f"{len(states)} active")


class SystemStateCheck:
    """The system as a whole must have finished starting, and must not be in rescue or on its way down.

    A ``degraded`` system is up but has a failed unit. Which units matter is for the setting ``health.units`` to say.

    Args:
        systemctl: whom to ask.
    """

    name = "system"

    def __init__(self, systemctl: Systemctl) -> None:
        self._systemctl = systemctl

    def run(self) -> CheckResult:
        """Green for ``running`` and ``degraded``."""
        states, problem = self._systemctl.ask("is-system-running")
        if problem:
            return red(self.name, problem)
        state = states[0] if states else "silent"
        return green(self.name, state) if state in ("running", "degraded") else red(self.name, f"systemd is {state}")
