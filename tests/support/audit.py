"""An audit log on a clock that a test moves, and what is done to its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.audit.log import AuditLog


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now, self.offset, self.synced = 10.0, 1_800_000_000.0, True

    def boottime(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.offset + self.now

    def synchronised(self) -> bool:
        return self.synced


def opened(directory: Path, clock: Clock | None = None, **options: Any) -> AuditLog:
    """A log whose segments hold a few records only."""
    small: dict[str, Any] = {"segment_size": 1500, "segments": 4, "boot_id": "boot-1"}
    return AuditLog(directory, clock=clock or Clock(), **{**small, **options})


def filled(directory: Path, count: int, **options: Any) -> AuditLog:
    """A log with so many records, each about another version."""
    log = opened(directory, **options)
    for number in range(1, count + 1):
        log.note("confirmed", f"version {number}", number=number)
    return log


def records(directory: Path) -> list[dict[str, Any]]:
    """All records that are kept, as anybody would read them."""
    lines = [line for path in sorted(directory.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line)["record"] for line in lines if "record" in json.loads(line)]


def events(directory: Path) -> list[str]:
    """The events of all records that are kept."""
    return [record["event"] for record in records(directory)]
