"""Are the services up that make the device what it is?

``systemctl`` is asked in a child process: one question for all units, no D-Bus connection kept open for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.health.result import CheckResult, green, red
from agent.process import run

# org.freedesktop.systemd1(5), ActiveState: the only states in which a unit does its work.
_UP = ("active", "reloading", "refreshing")


class UnitsCheck:
    """Every named unit must be active; a oneshot service needs ``RemainAfterExit=yes`` to stay so.

    Args:
        units: full unit names, without patterns.
        timeout: seconds for the question.
        systemctl: the program to ask.
    """

    name = "units"

    def __init__(self, units: Sequence[str], timeout: float, systemctl: str = "systemctl") -> None:
        self._units = tuple(units)
        self._timeout = timeout
        self._systemctl = systemctl

    def run(self) -> CheckResult:
        """Red with the units that are not up, and their states."""
        # The exit status of is-active is 0 as soon as one unit is active: only its lines tell about each.
        states, problem = _ask((self._systemctl, "is-active", "--", *self._units), self._timeout)
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
        timeout: seconds for the question.
        systemctl: the program to ask.
    """

    name = "system"

    def __init__(self, timeout: float, systemctl: str = "systemctl") -> None:
        self._timeout = timeout
        self._systemctl = systemctl

    def run(self) -> CheckResult:
        """Green for ``running`` and ``degraded``."""
        states, problem = _ask((self._systemctl, "is-system-running"), self._timeout)
        if problem:
            return red(self.name, problem)
        state = states[0] if states else "silent"
        return green(self.name, state) if state in ("running", "degraded") else red(self.name, f"systemd is {state}")


def _ask(argv: tuple[str, ...], timeout: float) -> tuple[list[str], str]:
    """The lines of the answer, or why there is none."""
    try:
        done = run(argv, timeout)
    except OSError as error:
        return [], f"systemctl cannot be started: {error.strerror}"
    if done.status is None:
        return [], f"systemctl did not answer within {timeout:g} s"
    return done.output.splitlines(), ""
