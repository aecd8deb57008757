"""An idle daemon may leave: a timer of systemd or a call on the bus starts it again, and nothing is lost or done twice.

What is lost by leaving would be a call that comes just then. So the main loop, which also answers calls, makes the decision:
systemd is told first that this process ends, so that a start that is asked for from now on comes after it (sd_notify(3),
STOPPING=1); then the bus name is given back, so that new calls start the service; then what had come before is answered, and
what cannot be done any more is refused (``daemon.leaving``, retryable).

What must survive and is not in the state directory, because it means nothing after a reboot, lies in ``system.run-dir``: when
the server is asked next, and that this boot was found healthy.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.bus.calls import Bus, BusCallError
from agent.clock import Clock
from agent.daemon.poll_plan import PollPlan

_log = logging.getLogger(__name__)
_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
TIMER = "ota-agent" + ".timer"  # a timer starts the service of its name (systemd.timer(5), Unit=)
_FILE = "idle"
_MAX_FILE = 64 * 1024
_TOLD = ("ServerState", "LastCheck", "LastContact")  # properties that a new process would not know
_ACCURACY = 1.0  # seconds


class Leaving:
    """Decides when an idle daemon leaves, and makes sure that it comes back.

    Args:
        seconds: without anything to do, after which it leaves.
        bus: where systemd is.
        clock: time.
        directory: ``system.run-dir``.
        boot_id: of this boot.
        plan: when the server is asked; None without a server.
        leave: asks the main loop, which answers whether the daemon has left the bus.
        last_call: when somebody called on the bus, in seconds since the boot; 0: nobody has.
        told: the properties as they are.
    """

    def __init__(
        self,
        seconds: float,
        *,
        bus: Bus,
        clock: Clock,
        directory: Path,
        boot_id: str,
        plan: PollPlan | None,
        leave: Callable[[], bool],
        last_call: Callable[[], float],
        told: Callable[[], Mapping[str, object]],
    ) -> None:
        self._seconds = seconds
        self._bus = bus
        self._clock = clock
        self._file = (directory / _FILE).with_suffix(".json")
        self._boot_id = boot_id
        self._plan = plan
        self._leave = leave
        self._last_call = last_call
        self._told = told
        self._busy_at = clock.boottime()
        self.healthy = False

    def recall(self) -> dict[str, object]:
        """Takes over from the process before; returns the properties that it had told."""
        self._stop_timer()
        try:
            with self._file.open("rb") as file:
                kept = json.loads(file.read(_MAX_FILE))
            self._file.unlink()
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            _log.warning("what was kept while nothing ran cannot be read: %s", error)
            return {}
        if not isinstance(kept, dict) or kept.get("boot_id") != self._boot_id:
            return {}
        self.healthy = kept.get("healthy") is True
        if self._plan is not None and isinstance(plan := kept.get("plan"), dict):
            self._plan.recall(plan)
        told = kept.get("told")
        return {name: told[name] for name in _TOLD if name in told} if isinstance(told, dict) else {}

    def busy(self) -> None:
        """Something was done just now."""
        self._busy_at = self._clock.boottime()

    def rest(self, left: float | None) -> float | None:
        """Seconds to wait before it may leave, if that is less than ``left``, the seconds to the next poll."""
        if left is not None and left <= self._seconds:
            return left  # it would only just have left
        wait = max(self._busy_at, self._last_call()) + self._seconds - self._clock.boottime()
        return max(0.0, wait)

    def attempt(self, left: float | None, *, healthy: bool) -> bool:
        """Leaves if nothing happened for long enough; returns whether it did, so that the worker must end.

        Args:
            left: seconds to the next poll; None: there is none.
            healthy: this boot was marked good.
        """
        if (left is not None and left <= self._seconds) or self.rest(left):
            return False
        self.busy()  # when it does not work out, there is another try after the same time
        if self._told().get("Offer"):
            return False
        try:
            self._keep(healthy=healthy)
            if left is not None:
                self._start_timer(left)
        except (OSError, BusCallError) as error:
            _log.warning("this process stays, because nothing would start it again: %s", error)
            return False
        if not self._leave():
            return False
        _log.info("nothing to do: leaving%s", "" if left is None else f" for {left:.0f} s, or until somebody calls")
        return True

    def _keep(self, *, healthy: bool) -> None:
        now = self._told()
        told = {name: now[name] for name in _TOLD if name in now}
        kept = {"boot_id": self._boot_id, "healthy": healthy, "told": told}
        if self._plan is not None:
            kept["plan"] = self._plan.remember()
        self._file.parent.mkdir(exist_ok=True)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(kept))
        new.replace(self._file)  # in memory: there is nothing to flush

    def _start_timer(self, seconds: float) -> None:
        from gi.repository import GLib

        self._stop_timer()
        # By the time since the boot, which stands still while the device is suspended, and by the date, which may be wrong:
        # who is started too early leaves again.
        date = int(self._clock.wall() + seconds)
        properties = [
            ("Description", GLib.Variant("s", "Next poll of the update agent")),
            ("TimersMonotonic", GLib.Variant("a(st)", [("OnActiveSec", int(seconds * 1_000_000))])),
            ("TimersCalendar", GLib.Variant("a(ss)", [("OnCalendar", f"@{date}")])),
            ("AccuracyUSec", GLib.Variant("t", int(_ACCURACY * 1_000_000))),
            ("RemainAfterElapse", GLib.Variant("b", False)),
        ]
        self._bus.call(*_SYSTEMD, "StartTransientUnit", "ssa(sv)a(sa(sv))", TIMER, "replace", properties, [])

    def _stop_timer(self) -> None:
        try:
            self._bus.call(*_SYSTEMD, "StopUnit", "ss", TIMER, "replace")
        except BusCallError as error:  # there is none
            _log.debug("%s: %s", TIMER, error)
