"""What was said to updates so far, and since when they are known. Pure.

It is kept by bundle, so that a new assignment of the same bundle starts nothing anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace

from agent.consent import elapsed
from agent.consent.deferral import Deferral
from agent.consent.elapsed import Meter

SCHEMA = 1
KEPT = 16  # bundles; the oldest are forgotten


@dataclass(frozen=True, slots=True)
class Entry:
    """One update.

    Attributes:
        bundle: its manifest hash.
        meter: seconds since it was first seen.
        deferral: see ``agent.consent.deferral``.
        reminded: age of the update when its user was last reminded of it.
    """

    bundle: str
    meter: Meter = field(default_factory=Meter)
    deferral: Deferral = field(default_factory=Deferral)
    reminded: float = 0.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """Entries, the oldest first; and the approvals of actions that were not looked at yet."""

    entries: tuple[Entry, ...] = ()
    approved: tuple[str, ...] = ()

    def entry(self, bundle: str) -> Entry | None:
        """What is known of a bundle."""
        return next((each for each in self.entries if each.bundle == bundle), None)

    def with_entry(self, entry: Entry) -> Ledger:
        """The same with this entry as its newest."""
        others = [each for each in self.entries if each.bundle != entry.bundle]
        return replace(self, entries=(*others, entry)[-KEPT:])

    def without(self, bundle: str) -> Ledger:
        """The same without a bundle."""
        return replace(self, entries=tuple(each for each in self.entries if each.bundle != bundle))

    def with_answer(self, identity: str, *, approved: bool) -> Ledger:
        """The same with an action that was approved before it was offered, or was not after all."""
        others = [each for each in self.approved if each != identity]
        return replace(self, approved=(*others, *([identity] if approved else []))[-KEPT:])

    def to_json(self) -> dict[str, object]:
        """Plain values for the store."""
        entries = [
            {
                "bundle": each.bundle,
                "meter": elapsed.to_json(each.meter),
                "deferral": dict(asdict(each.deferral)),
                "reminded": each.reminded,
            }
            for each in self.entries
        ]
        return {"schema": SCHEMA, "updates": entries, "approved": list(self.approved)}


def from_json(values: Mapping[str, object]) -> Ledger:
    """Reads what ``to_json`` wrote; what a newer agent has added is left out.

    Raises:
        ValueError: it is something else.
    """
    entries, approved = values.get("updates"), values.get("approved")
    if values.get("schema") != SCHEMA or not isinstance(entries, list) or not isinstance(approved, list):
        raise ValueError("no ledger of this schema")
    return Ledger(tuple(_entry(each) for each in _few(entries)), tuple(_text(each) for each in _few(approved)))


def _entry(values: object) -> Entry:
    table = _table(values)
    deferral = _table(table.get("deferral"))
    numbers = {item.name: _number(deferral.get(item.name)) for item in fields(Deferral) if item.name != "used"}
    return Entry(
        _text(table.get("bundle")),
        elapsed.from_json(_table(table.get("meter"))),
        Deferral(used=int(_number(deferral.get("used"))), **numbers),
        _number(table.get("reminded")),
    )


def _few(values: list[object]) -> Sequence[object]:
    return values[-KEPT:]


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("no table")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 1024:
        raise ValueError("no text")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise ValueError("no number")
    return float(value)
