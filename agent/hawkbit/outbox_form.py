"""The stored form of the outbox, and what can be saved of one that is damaged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from agent.errors import EnvironmentFault
from agent.hawkbit.feedback import from_json as read_feedback
from agent.hawkbit.outbox import PATIENCE, Entry, Outbox, Refusal, Tally

MAX_ENTRIES = 2000
MAX_STORED = 8 * 1024 * 1024  # bytes
SCHEMA = 2
_OLD = 1  # entries only; their numbers counted from the ones that waited
_BIG = 1 << 53  # what every JSON reader takes
# The store sorts the keys, so that an entry begins with its feedback.
_ENTRY = re.compile(r'\{\s*"feedback"\s*:')


def to_json(outbox: Outbox) -> dict[str, object]:
    """Returns plain values for the store."""
    return {
        "schema": SCHEMA,
        "last": outbox.last,
        "heard": outbox.heard,
        "entries": [
            {
                "number": e.number,
                "feedback": e.feedback.to_json(),
                "timestamp_ms": e.timestamp_ms,
                "offset_ms": e.offset_ms,
                "stripped": e.stripped,
                "refusals": e.refusals,
                "repeats": e.repeats,
            }
            for e in outbox.entries
        ],
        "tallies": [{"action_id": t.action_id, "count": t.count} for t in outbox.tallies],
        "refused": [
            {"number": r.number, "kind": r.kind, "action_id": r.action_id, "finished": r.finished, "status": r.status}
            for r in outbox.refused
        ],
    }


def from_json(value: object) -> Outbox:
    """Reads the stored form, also that of older agents.

    Raises:
        EnvironmentFault: ``ddi.outbox-unreadable``, not retryable; the caller saves what ``salvaged`` finds.
    """
    try:
        return _outbox(value)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error)[:200]) from error


def from_bytes(data: bytes) -> Outbox:
    """As ``from_json``, from the bytes of the document."""
    try:
        if len(data) > MAX_STORED:
            raise ValueError("it is too long")
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error)[:200]) from error
    return from_json(value)


def salvaged(data: bytes) -> Outbox:
    """What can still be read of a damaged document: the entries that are whole, in order, and nothing else.

    A terminal message is worth saving from any document. Counts are lost with it; the intermediate messages are given up
    for that, since they could endanger the quota of their action.
    """
    found = Outbox()
    text = data[:MAX_STORED].decode("ascii", "replace")
    decoder = json.JSONDecoder()
    for _, match in zip(range(MAX_ENTRIES), _ENTRY.finditer(text), strict=False):
        try:
            stored, _ = decoder.raw_decode(text, match.start())
            message = read_feedback(stored["feedback"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if message.terminal:
            found = found.add(message)
    return found


def unreadable(details: str) -> EnvironmentFault:
    """The error for a document that cannot be read."""
    return EnvironmentFault(
        "ddi.outbox-unreadable", "the stored feedback cannot be read", details=details,
        resolution="what could be read of it is sent; look into outbox.json.broken for the rest", retryable=False,
    )  # fmt: skip


def _outbox(value: object) -> Outbox:
    if not isinstance(value, dict) or not isinstance(value.get("entries"), list):
        raise ValueError("it is no outbox")
    if value.get("schema") not in (_OLD, SCHEMA):
        raise ValueError("it is no outbox of this version")
    if len(value["entries"]) > MAX_ENTRIES:
        raise ValueError("it has too many entries")
    entries = tuple(_entries(value["entries"], old=value["schema"] == _OLD))
    if value["schema"] == _OLD:
        return Outbox(entries, last=max((entry.number for entry in entries), default=0))
    last = _number(value, "last")
    if any(entry.number > last for entry in entries):
        raise ValueError("an entry has a number that was not given yet")
    tallies = tuple(Tally(_text(t, "action_id"), _number(t, "count")) for t in _objects(value, "tallies"))
    return Outbox(entries, last, _number(value, "heard"), tallies, tuple(_refused(value)))


def _entries(values: Iterable[object], *, old: bool) -> Iterator[Entry]:
    seen: set[int] = set()
    for stored in values:
        if not isinstance(stored, dict):
            raise ValueError("an entry is no object")
        number = _number(stored, "number")
        timestamp = None if stored.get("timestamp_ms") is None else _number(stored, "timestamp_ms")
        stripped = stored.get("stripped")
        if number in seen or not isinstance(stripped, bool):
            raise ValueError("an entry is damaged")
        seen.add(number)
        yield Entry(
            number,
            read_feedback(stored.get("feedback")),
            None if old else timestamp,  # it is not known what the clock has done since
            0 if old else _number(stored, "offset_ms", -_BIG),
            stripped,
            min(_number(stored, "refusals"), PATIENCE),
            0 if old else _number(stored, "repeats"),
        )


def _refused(value: Mapping[str, object]) -> Iterator[Refusal]:
    for stored in _objects(value, "refused"):
        yield Refusal(
            _number(stored, "number"), _text(stored, "kind"), _text(stored, "action_id"), _text(stored, "finished"),
            _number(stored, "status"),
        )  # fmt: skip


def _objects(value: Mapping[str, object], key: str) -> list[dict[str, object]]:
    found = value.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{key} is no list of objects")
    return found


def _number(stored: Mapping[str, object], key: str, lowest: int = 0) -> int:
    value = stored.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < _BIG:
        raise ValueError(f"{key} is no number")
    return value


def _text(stored: Mapping[str, object], key: str) -> str:
    value = stored.get(key)
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError(f"{key} is no text")
    return value
