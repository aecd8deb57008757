"""Feedback that has not arrived yet, in order.

A pure value: every change returns a new outbox, and the caller stores it durably before it acts on it. The laws:

1. A terminal message is never lost: only the server's word (delivered, or refused twice as malformed) removes it.
2. Within an action, a terminal message leaves after every intermediate one.
3. Intermediate messages are bounded: they are merged, and in the end dropped, before they endanger the server's quota
   (hawkBit: 1000 entries per action, answered 429 beyond, final messages exempt).
4. The same message may be delivered twice; nothing here depends on it arriving only once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from agent.errors import EnvironmentFault
from agent.hawkbit.feedback import MAX_DETAILS, Feedback, from_json

MAX_INTERMEDIATE = 20  # per action
MAX_INTERMEDIATE_TOTAL = 60
MAX_ENTRIES = 2000
MAX_STORED = 8 * 1024 * 1024  # bytes; 20 KiB is the most that one entry takes
PATIENCE = 10  # refusals of one message before it must stop blocking the others
PATIENCE_WITH_QUOTA = 3
_SCHEMA = 1

Outcome = Literal["delivered", "kept", "stripped", "dropped"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A message on its way.

    Args:
        number: counts up within one outbox; identifies the entry.
        feedback: the message.
        timestamp_ms: when it happened, if the clock could be believed then.
        stripped: the server refused it once; it goes out again without optional fields.
        refusals: how often the server said "not now".
    """

    number: int
    feedback: Feedback
    timestamp_ms: int | None = None
    stripped: bool = False
    refusals: int = 0

    def body(self) -> bytes:
        """The body to post to ``feedback.path``."""
        return self.feedback.body(self.timestamp_ms, minimal=self.stripped)


@dataclass(frozen=True, slots=True)
class Outbox:
    """What is still to be said, first things first."""

    entries: tuple[Entry, ...] = ()

    def add(self, feedback: Feedback, timestamp_ms: int | None = None) -> Outbox:
        """Returns an outbox with one more message.

        A terminal message whose (kind, action) already has one is ignored: the first verdict stands. Only a success that
        still waits gives way to a failure: what had succeeded is gone before anybody was told. And of two answers to a
        confirmation the newer one counts: a person may change their mind. An intermediate message goes before the terminal
        one of its action.
        """
        entry = Entry(1 + max((e.number for e in self.entries), default=0), feedback, timestamp_ms)
        same = [e for e in self.entries if _subject(e) == _subject(entry)]
        ends = [e for e in same if e.feedback.terminal]
        if not ends:
            return Outbox(_bounded((*self.entries, entry)))
        if feedback.terminal:
            gone = ends[0].feedback.finished == "success" and feedback.finished == "failure"
            gives_way = gone or feedback.kind == "confirmation"
            return Outbox(tuple(entry if e is ends[0] else e for e in self.entries)) if gives_way else self
        at = self.entries.index(ends[0])
        return Outbox(_bounded((*self.entries[:at], entry, *self.entries[at:])))

    def next(self) -> Entry | None:
        """The message to send now; None when everything has arrived."""
        return self.entries[0] if self.entries else None

    def settle(self, entry: Entry, status: int | None) -> Outbox:
        """Returns the outbox after the server's answer.

        Args:
            entry: what was sent.
            status: the HTTP status; None when there was no answer.
        """
        if all(e.number != entry.number for e in self.entries):
            return self
        outcome = verdict(entry, status)
        if outcome in ("delivered", "dropped"):
            return Outbox(tuple(e for e in self.entries if e.number != entry.number))
        if outcome == "stripped":
            return Outbox(_swap(self.entries, replace(entry, stripped=True)))
        if status is None:
            return self
        return self._refused(replace(entry, refusals=entry.refusals + 1), status)

    def _refused(self, entry: Entry, status: int) -> Outbox:
        """A message that is refused again and again must not keep back the ones behind it."""
        entries = _swap(self.entries, entry)
        quota = status in (403, 429)  # 403 was the quota's answer up to hawkBit 0.9
        if entry.refusals < (PATIENCE_WITH_QUOTA if quota and not entry.feedback.terminal else PATIENCE):
            return Outbox(entries)
        mine = [e for e in entries if e.feedback.action_id == entry.feedback.action_id]
        others = [e for e in entries if e.feedback.action_id != entry.feedback.action_id]
        if entry.feedback.terminal:
            mine = [replace(e, refusals=0) if e.number == entry.number else e for e in mine]
            return Outbox((*others, *mine))
        return Outbox(tuple(e for e in entries if e not in mine or e.feedback.terminal))

    def to_json(self) -> bytes:
        """Returns the stored form."""
        stored = [
            {
                "number": e.number,
                "feedback": e.feedback.to_json(),
                "timestamp_ms": e.timestamp_ms,
                "stripped": e.stripped,
                "refusals": e.refusals,
            }
            for e in self.entries
        ]
        return json.dumps({"schema": _SCHEMA, "entries": stored}, separators=(",", ":")).encode("ascii")

    @staticmethod
    def from_json(data: bytes) -> Outbox:
        """Reads the stored form.

        Raises:
            EnvironmentFault: ``ddi.outbox-unreadable``, not retryable; the caller puts the file aside and reports it.
        """
        try:
            if len(data) > MAX_STORED:
                raise ValueError("it is too long")
            return Outbox(tuple(_entries(json.loads(data))))
        except (ValueError, RecursionError) as error:
            raise EnvironmentFault(
                "ddi.outbox-unreadable",
                "the stored feedback cannot be read",
                details=str(error)[:200],
                resolution="the messages in it are lost; look at the audit log for what happened",
                retryable=False,
            ) from error


def verdict(entry: Entry, status: int | None) -> Outcome:
    """What an answer means for a message; by 404, 405 and 410 hawkBit says that the action is closed already."""
    if status is None:
        return "kept"
    if 200 <= status < 300 or status in (404, 405, 410):
        return "delivered"
    if 400 <= status < 500 and status not in (401, 403, 407, 408, 409, 425, 429):
        return "dropped" if entry.stripped else "stripped"
    return "kept"


def _subject(entry: Entry) -> tuple[str, str]:
    return entry.feedback.kind, entry.feedback.action_id


def _swap(entries: Iterable[Entry], new: Entry) -> tuple[Entry, ...]:
    return tuple(new if e.number == new.number else e for e in entries)


def _bounded(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    subjects = {_subject(e) for e in entries if not e.feedback.terminal}
    for subject in subjects:
        mine = [e for e in entries if _subject(e) == subject and not e.feedback.terminal]
        if len(mine) > MAX_INTERMEDIATE:
            entries = _merge(entries, mine[0], mine[1])
    waiting = [e for e in entries if not e.feedback.terminal]
    if len(waiting) > MAX_INTERMEDIATE_TOTAL:
        entries = tuple(e for e in entries if e.number != waiting[0].number)
    return entries


def _merge(entries: tuple[Entry, ...], older: Entry, newer: Entry) -> tuple[Entry, ...]:
    """Two neighbours become one; the newer lines are the ones that stay when there are too many."""
    lines = (*older.feedback.details, *newer.feedback.details)[-MAX_DETAILS:]
    merged = replace(newer, feedback=replace(newer.feedback, details=lines), stripped=False, refusals=0)
    return tuple(merged if e.number == newer.number else e for e in entries if e.number != older.number)


def _entries(value: object) -> Iterable[Entry]:
    if not isinstance(value, dict) or value.get("schema") != _SCHEMA or not isinstance(value.get("entries"), list):
        raise ValueError("it is no outbox of this version")
    if len(value["entries"]) > MAX_ENTRIES:
        raise ValueError("it has too many entries")
    seen: set[int] = set()
    for stored in value["entries"]:
        if not isinstance(stored, dict):
            raise ValueError("an entry is no object")
        number, refusals = _number(stored, "number"), _number(stored, "refusals")
        timestamp = None if stored.get("timestamp_ms") is None else _number(stored, "timestamp_ms")
        if number in seen or not isinstance(stored.get("stripped"), bool):
            raise ValueError("an entry is damaged")
        seen.add(number)
        yield Entry(number, from_json(stored.get("feedback")), timestamp, stored["stripped"], refusals)


def _number(stored: dict[str, object], key: str) -> int:
    value = stored.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError(f"{key} is no number")
    return value
