"""What the watchdogs know about the last reset (Documentation/watchdog/watchdog-api.rst, sysfs-class-watchdog)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MAX_WATCHDOGS = 16
_NAME = re.compile(r"watchdog[0-9]{1,3}")

# linux/watchdog.h
OVERHEAT = 0x01
FANFAULT = 0x02
POWERUNDER = 0x10
CARDRESET = 0x20
POWEROVER = 0x40
FLAGS = {
    OVERHEAT: "too hot", FANFAULT: "a fan failed", POWERUNDER: "the voltage was too low",
    CARDRESET: "a watchdog reset the system", POWEROVER: "the voltage was too high",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BootStatus:
    """The flags of all watchdogs; ``reports``: one of them would tell if it had caused the reset."""

    flags: int = 0
    reports: bool = False


def boot_status(directory: Path | None) -> BootStatus:
    """Reads all watchdogs; what cannot be read tells nothing.

    Args:
        directory: ``/sys/class/watchdog``; None: nobody is asked.
    """
    flags, reports = 0, False
    for watchdog in _watchdogs(directory):
        flags |= _number(watchdog / "bootstatus", 10)
        reports |= bool(_number(watchdog / "options", 16) & CARDRESET)
    return BootStatus(flags & sum(FLAGS), reports)


def _watchdogs(directory: Path | None) -> list[Path]:
    try:
        return (
            sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))[:MAX_WATCHDOGS]
            if directory
            else []
        )
    except OSError:
        return []


def _number(path: Path, base: int) -> int:
    try:
        return int(path.read_text("ascii")[:32], base)
    except (OSError, ValueError):
        return 0
