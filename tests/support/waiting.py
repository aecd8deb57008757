"""A device on which an update waits: its desk over restarts, its clocks, and what is on its disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.audit.log import AuditLog
from agent.config import PolicySettings
from agent.consent.rules import Hold, Stride
from agent.daemon.machine import State
from agent.daemon.record import Record
from support.pretend import POLICY, Clock, Disk, Patient, Services, desk

TRUE = 1_800_000_000.0  # the date at which each of these stories begins


class Dates(Clock):
    """A clock that can be set, with a date that may be wrong."""

    def __init__(self) -> None:
        self.now = 100.0
        self.date = TRUE
        self.right = True

    def wall(self) -> float:
        return self.date

    def synchronised(self) -> bool:
        return self.right

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.date += seconds


class Device:
    """One update and everything that is asked about it.

    Args:
        run_dir: for the notice.
        facts: signed.
        policy: settings other than the defaults.
        update: fields of the record.
    """

    def __init__(
        self, run_dir: Path, facts: dict[str, str] | None = None, update: Any = None, **policy: object
    ) -> None:
        self.run_dir = run_dir
        self.policy: PolicySettings = replace(POLICY, **policy)  # type: ignore[arg-type]  # its fields
        self.disk = Disk()
        self.clock = Dates()
        self.services = Services()
        self.boots = 1
        self.told: list[tuple[str, object]] = []
        self.records = AuditLog(run_dir / "audit", clock=self.clock, boot_id="boot")
        fields = {"origin": "server", "download": "forced", "update": "forced", "action_id": "7", **(update or {})}
        self.record = Record(state=State.WAITING, version="2.0.0", manifest_hash="ab" * 32, facts=facts or {}, **fields)
        self.start()
        self.look()

    def start(self) -> None:
        """The daemon starts, as it does after a crash; what it said on the bus is gone."""
        self.inbox = Patient(self.clock)
        self.desk = desk(
            self.disk, self.clock, self.inbox, policy=self.policy, boot_id=f"boot-{self.boots}", services=self.services,
            run_dir=self.run_dir, tell=lambda changes: self.told.extend(changes.items()), audit=self.records,
        )  # fmt: skip
        self.desk.entered(self.record)

    def reboot(self, off: float, date: float | None) -> None:
        """The device is off for some time, and starts with a date: the right one (None), or another that nobody vouches for."""
        self.boots += 1
        true = self.clock.date + off
        self.clock.now, self.clock.date, self.clock.right = 5.0, true if date is None else date, date is None
        (self.run_dir / "notice.json").unlink(missing_ok=True)
        self.start()

    def look(self, stride: Stride = Stride.INSTALL) -> tuple[Hold, ...]:
        """What the update waits for, told as the worker tells it; an answer of a person is taken."""
        if (said := self.inbox.take_consent()) is not None and said.approved:
            self.record = replace(self.record, consent="now" if said.now else "given")
        found = self.desk.holds(self.record, stride)
        self.desk.waits(self.record, found)
        self.desk.offering("7", "wanted" if found else "")
        return found

    def notice(self) -> dict[str, Any]:
        """The file."""
        found: dict[str, Any] = json.loads((self.run_dir / "notice.json").read_text())
        return found

    def recorded(self, event: str) -> list[tuple[str, object]]:
        """Subject and author of the records of one kind."""
        found = [json.loads(record) for record in self.records.tail(99)]
        return [(each["subject"], each["data"].get("by")) for each in found if each["event"] == event]

    def signals(self, name: str) -> list[object]:
        """What was told under a name."""
        return [value for key, value in self.told if key == name]
