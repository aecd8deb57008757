"""Is the hardware watchdog armed, so that a system that hangs is restarted?"""

from __future__ import annotations

from pathlib import Path

from agent.health.result import CheckResult, green, red
from agent.health.systemctl import Systemctl

_SYSFS = Path("/sys/class/watchdog")


class WatchdogCheck:
    """A program must have opened the watchdog, which arms it; systemd does so with ``RuntimeWatchdogSec=``.

    Args:
        watchdog: its device or its directory in sysfs.
        systemctl: asked when the kernel tells nothing (it was built without CONFIG_WATCHDOG_SYSFS).
    """

    name = "watchdog"

    def __init__(self, watchdog: Path, systemctl: Systemctl) -> None:
        # /dev/watchdog is another name of the first one (Documentation/watchdog/watchdog-api.rst).
        number = "watchdog0" if watchdog.name == "watchdog" else watchdog.name
        self._watchdog = watchdog
        self._sysfs = watchdog if watchdog.is_dir() else _SYSFS / number
        self._systemctl = systemctl

    def run(self) -> CheckResult:
        """Reads ``state`` (Documentation/ABI/testing/sysfs-class-watchdog)."""
        try:
            state = (self._sysfs / "state").read_text("ascii", "replace").strip()
        except OSError:
            return self._ask_systemd()
        if state != "active":
            return red(self.name, f"{self._watchdog} is {state[:40] or 'silent'}: nothing has armed it")
        return green(self.name, "armed")

    def _ask_systemd(self) -> CheckResult:
        if not self._watchdog.exists():
            return red(self.name, f"there is no {self._watchdog}")
        found, problem = self._systemctl.show(("RuntimeWatchdogUSec",))
        if problem:
            return red(self.name, f"{self._sysfs} does not tell its state, and {problem}")
        period = found[0].get("RuntimeWatchdogUSec", "") if found else ""
        if period in ("", "0", "infinity"):
            return red(self.name, "systemd does not feed the watchdog (RuntimeWatchdogSec=)")
        return green(self.name, f"armed by systemd for {period}")
