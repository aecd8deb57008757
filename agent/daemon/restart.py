"""Restarting the device: by logind, which lets programs end in order, or by a command of the configuration. Never raw.

Source: org.freedesktop.login1(5), Inhibitor Locks (systemd.io/INHIBITOR_LOCKS). What delays a shutdown is waited for by logind.
What blocks one would not stop root there (before systemd 257), so it is looked at here, until the time for that is over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

from agent.bus.calls import TIMEOUT, UNREACHABLE, Bus, BusCallError
from agent.bus.logind import LOGIND, blocking
from agent.errors import EnvironmentFault
from agent.process import run as run_program

_log = logging.getLogger(__name__)
_SESSION = "org.freedesktop.login1.Session"
SYSTEMCTL = ("systemctl", "reboot")  # speaks to systemd directly where there is neither a bus nor logind
_COMMAND_PATIENCE = 60.0  # seconds
_LOOK = 10.0  # seconds between two looks at what blocks the shutdown
_SKIP_INHIBITORS = 1 << 4  # RebootWithFlags, from systemd 257 on
_NOT_THERE = frozenset({
    UNREACHABLE, TIMEOUT, "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.Disconnected", "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.UnitMasked",
})  # fmt: skip
_OLDER = frozenset({"org.freedesktop.DBus.Error.UnknownMethod", "org.freedesktop.DBus.Error.InvalidArgs"})


def by_command(command: Sequence[str], argument: str = "") -> None:
    """Runs a restart command.

    Args:
        command: what is run.
        argument: reboot(8)'s, for the bootloader; empty for none.

    Raises:
        EnvironmentFault: ``reboot.failed``.
    """
    try:
        finished = run_program([*command, *filter(None, [argument])], _COMMAND_PATIENCE)
    except OSError as error:
        raise EnvironmentFault("reboot.failed", "the restart command cannot be run", details=str(error)) from error
    if finished.status != 0:
        raise EnvironmentFault(
            "reboot.failed", "the restart command failed", details=f"status {finished.status}: {finished.last_line}",
            resolution="check system.reboot-command",
        )  # fmt: skip


class Restart:
    """Asks for a restart, and returns when it was asked for.

    Args:
        command: run instead of asking logind, unless it is empty.
        bus: where logind is.
        warning: seconds between the warning and the restart while somebody is logged in.
        patience: seconds for which a program may block the restart.
        pause: lets so many seconds pass; what it raises ends the wait.
        announce: told the seconds to the restart.
        blocked: told what blocks the restart, whenever that changes: who, and why.
        clock: seconds since the boot.
        wall: seconds since 1970, as logind reads them, too.
    """

    def __init__(
        self,
        command: Sequence[str],
        bus: Bus,
        *,
        warning: float = 0.0,
        patience: float = 0.0,
        pause: Callable[[float], None] = time.sleep,
        announce: Callable[[int], None] = lambda _seconds: None,
        blocked: Callable[[Sequence[tuple[str, str]]], None] = lambda _by: None,
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._command = tuple(command)
        self._bus = bus
        self._warning = warning
        self._patience = patience
        self._pause = pause
        self._announce = announce
        self._blocked = blocked
        self._clock = clock
        self._wall = wall

    def __call__(self, argument: str = "") -> None:
        """Restarts.

        Args:
            argument: of the restart, for the bootloader; empty for none.

        Raises:
            EnvironmentFault: ``reboot.failed``.
        """
        if self._command:
            self._announce(0)
            by_command(self._command, argument)
            return
        try:
            self._by_logind(argument)
        except BusCallError as error:
            if error.name not in _NOT_THERE:
                raise EnvironmentFault(
                    "reboot.failed", "logind refuses to restart the device", details=str(error),
                    resolution="loginctl and the journal of systemd-logind tell why",
                ) from error  # fmt: skip
            _log.warning("logind cannot be reached (%s): systemd is asked to restart the device", error)
            self._announce(0)
            by_command(SYSTEMCTL, argument)

    def _by_logind(self, argument: str) -> None:
        if argument:
            self._call("SetRebootParameter", "s", argument)
        overdue = not self._unblocked()
        seconds = self._warning if self._attended() else 0.0
        self._announce(ceil(seconds))
        text = "The device restarts because of a system update."  # also when it goes back
        self._call("SetWallMessage", "sb", text, True)
        if seconds and not overdue:
            # logind tells everybody who is logged in, and nobody logs in any more; a person may call it off (shutdown -c).
            self._call("ScheduleShutdown", "st", "reboot", int((self._wall() + seconds) * 1_000_000))
            self._pause(seconds)
            return
        if seconds:
            self._pause(seconds)
        self._reboot(overdue=overdue)

    def _reboot(self, *, overdue: bool) -> None:
        if overdue:
            try:
                self._call("RebootWithFlags", "t", _SKIP_INHIBITORS)
            except BusCallError as error:
                if error.name not in _OLDER:  # an older logind does not let root be blocked
                    raise
            else:
                return
        self._call("Reboot", "b", False)

    def _unblocked(self) -> bool:
        """Waits while a program blocks the shutdown; returns whether none does any more."""
        end = self._clock() + self._patience
        told: tuple[tuple[str, str], ...] = ()
        while held := blocking(self._bus):
            text = "; ".join(f"{who}: {why}"[:200] for who, why in held)
            if self._clock() >= end:
                _log.warning("the device restarts although this is blocked by %s", text)
                return False
            if held != told:
                told = held
                self._blocked(held)
                _log.warning("the restart waits, at most %.0f s, for %s", end - self._clock(), text)
            self._pause(min(_LOOK, end - self._clock()))
        if told:
            self._blocked(())
        return True

    def _attended(self) -> bool:
        """Whether a person is logged in: no greeter, no service."""
        (sessions,) = self._call("ListSessions")
        return any(self._class_of(path) == "user" for *_, path in sessions)

    def _class_of(self, path: str) -> str:
        try:
            return str(self._bus.get(LOGIND[0], path, _SESSION, "Class"))
        except BusCallError as error:  # it has just ended
            _log.debug("session %s: %s", path, error)
            return ""

    def _call(self, method: str, signature: str = "", *values: object) -> tuple[Any, ...]:
        return self._bus.call(*LOGIND, method, signature, *values)
