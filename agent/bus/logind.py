"""Who does not want the device to be shut down now, as logind knows it (org.freedesktop.login1(5), Inhibitor Locks)."""

from __future__ import annotations

from typing import Any, Protocol

LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_MOST = 32  # locks that are told of


class Caller(Protocol):
    """``agent.bus.calls.Bus``."""

    def call(self, service: str, path: str, interface: str, method: str) -> tuple[Any, ...]:
        """Calls a method without arguments."""
        ...


def blocking(bus: Caller) -> tuple[tuple[str, str], ...]:
    """Who holds a lock that blocks a shutdown, and why; ``block-weak`` is one, too (systemd 257).

    Raises:
        BusCallError: logind does not answer.
    """
    (rows,) = bus.call(*LOGIND, "ListInhibitors")
    return tuple(
        (str(who)[:200], str(why)[:200])
        for what, who, why, mode, *_ in rows
        if str(mode).startswith("block") and "shutdown" in str(what).split(":")
    )[:_MOST]
