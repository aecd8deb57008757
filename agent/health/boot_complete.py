"""Has systemd reached ``boot-complete.target``? Any unit that it requires, and that is ordered before it, can veto a boot.

https://systemd.io/AUTOMATIC_BOOT_ASSESSMENT and systemd.special(7).
"""

from __future__ import annotations

from agent.health.result import CheckResult, green, red
from agent.health.systemctl import Systemctl

_NAME = "boot-complete"
_TARGET = f"{_NAME}.target"
_NAMED = 8  # units in one text


class BootCompleteCheck:
    """The target must be active.

    Nothing of systemd's own pulls it into the boot. If nobody else does, this check starts it, once: a unit that has failed
    is not tried again and again. It does so again only when all that it requires is up by now, as a service is that
    ``Restart=`` has brought up after its first start had failed, and the start of the target with it.

    Args:
        systemctl: whom to ask.
    """

    name = _NAME

    def __init__(self, systemctl: Systemctl) -> None:
        self._systemctl = systemctl
        self._started = False

    def run(self) -> CheckResult:
        """Red with the units that keep it from being reached."""
        found, problem = self._systemctl.show(("LoadState", "ActiveState", "Requires", "Requisite"), _TARGET)
        if problem or not found:
            return red(self.name, problem or "systemctl answered nothing")
        target = found[0]
        if target.get("ActiveState") == "active":
            return green(self.name, "reached")
        if target.get("LoadState") != "loaded":
            return red(self.name, f"{_TARGET} is {target.get('LoadState') or 'unknown'} (health.boot-complete)")
        required = f"{target.get('Requires', '')} {target.get('Requisite', '')}".split()
        text, failed = self._missing(required)
        all_up = bool(required) and not text
        if all_up or (not failed and not self._started):
            self._started = True
            self._systemctl.ask("start", "--no-block", "--", _TARGET)
        return red(self.name, f"{_TARGET} is not reached" + (f": {text}" if text else ""))

    def _missing(self, required: list[str]) -> tuple[str, bool]:
        """What is not up of that which the target requires, and whether one of them has failed."""
        if not required:
            return "", False
        units, problem = self._systemctl.show(("Id", "ActiveState", "Result"), *required)
        down = [unit for unit in units if unit.get("ActiveState") != "active"]
        told = [f"{unit.get('Id', '?')} is {unit.get('ActiveState', '?')}" for unit in down[:_NAMED]]
        return problem or ", ".join(told), any(unit.get("ActiveState") == "failed" for unit in down)
