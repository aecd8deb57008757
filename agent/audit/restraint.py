"""What is not worth a record: the same again, and too much of one kind. In memory only; the newest records tell it anew."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from agent.audit.events import EVENTS, Row, Sparing

_DAY = 86_400_000_000  # microseconds
_UNKNOWN = Row("", "", "")


class Restraint:
    """Looks at each note before it becomes a record; the rules stand in ``agent.audit.events``.

    Args:
        boot_id: of this boot.
    """

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._last: dict[str, tuple[object, ...]] = {}
        self._times: dict[str, deque[int]] = {}
        self._omitted: dict[str, int] = {}

    def forget(self) -> None:
        """Before the newest records are remembered once more."""
        self._last.clear()
        self._times.clear()

    def remember(self, record: Mapping[str, Any]) -> None:
        """A record was made."""
        event, boot_id, data = str(record.get("event")), record.get("boot_id"), dict(record.get("data") or {})
        self._omitted.pop(event, None)
        data.pop("omitted", None)
        row = EVENTS.get(event, _UNKNOWN)
        if row.sparing is not Sparing.EACH:
            self._last[event] = _told(row, record.get("subject"), data, boot_id)
        if row.limit and boot_id == self._boot_id:
            self._times.setdefault(event, deque(maxlen=row.limit)).append(int(record.get("mono_us", 0)))

    def spares(self, event: str, subject: str, data: Mapping[str, Any], now: int) -> bool:
        """Whether a note is to be left out; ``now`` is the time since the boot in microseconds."""
        row = EVENTS.get(event, _UNKNOWN)
        if row.sparing is not Sparing.EACH and self._last.get(event) == _told(row, subject, data, self._boot_id):
            return True
        times = self._times.get(event)
        if row.limit and times is not None and len(times) == row.limit and now - times[0] < _DAY:
            self._omitted[event] = self._omitted.get(event, 0) + 1
            return True
        return False

    def omitted(self, event: str) -> int:
        """How many notes of this kind were left out since its last record because there were too many."""
        return self._omitted.get(event, 0)


def _told(row: Row, subject: object, data: Mapping[str, Any], boot_id: object) -> tuple[object, ...]:
    """What must be the same for a note to be the same again."""
    match row.sparing:
        case Sparing.BOOT:
            return (boot_id,)
        case Sparing.CHANGED_OR_BOOT:
            return subject, tuple(sorted(data.items())), boot_id
        case _:
            return subject, tuple(sorted(data.items()))
