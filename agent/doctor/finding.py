"""What a check finds, and the table of everything that can be found. Pure.

An id is stable: programs and people look for it. What is found differs from device to device; why it matters and how it is
mended stands in the table, from which ``docs/doctor.md`` is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from agent.doctor.table import ROWS
from agent.errors import explain


class Severity(IntEnum):
    """How bad it is: a note needs nobody to act, a warning will hurt one day, an error stops updates or may stop the device."""

    OK = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """In small letters."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        id: of the row in the table.
        severity: see Severity.
        found: the observed facts, in one sentence without a full stop.
        why: why it matters.
        fix: what to do; empty when nothing has to be done.
        code: of the error behind it, if there is one (``docs/errors.md``).
    """

    id: str
    severity: Severity
    found: str
    why: str
    fix: str
    code: str = ""

    def to_json(self) -> Mapping[str, str]:
        """Plain values for programs."""
        return {
            "id": self.id, "severity": self.severity.word, "found": self.found, "why": self.why, "fix": self.fix,
            "code": self.code,
        }  # fmt: skip


def ok(row: str, found: str) -> Finding:
    """As it should be."""
    return Finding(row, Severity.OK, found, ROWS[row].why, "")


def note(row: str, found: str) -> Finding:
    """Good to know."""
    return _finding(row, Severity.NOTE, found)


def warning(row: str, found: str) -> Finding:
    """Will hurt one day."""
    return _finding(row, Severity.WARNING, found)


def error(row: str, found: str) -> Finding:
    """Hinders updates, or endangers the device."""
    return _finding(row, Severity.ERROR, found)


def failure(row: str, problem: Exception, severity: Severity = Severity.ERROR) -> Finding:
    """From an error that can be explained: its own advice goes before that of the table."""
    parts = explain(problem)
    found = f"{parts['brief']}: {parts['details']}" if parts["details"] else str(parts["brief"])
    fix = str(parts["resolution"]) or ROWS[row].fix
    return Finding(row, severity, found, ROWS[row].why, fix, str(parts["code"]))


def _finding(row: str, severity: Severity, found: str) -> Finding:
    return Finding(row, severity, found, ROWS[row].why, ROWS[row].fix)
