"""The record of the update under way, in memory and on the medium, always the same."""

from __future__ import annotations

import logging

from agent.daemon.machine import State
from agent.daemon.record import Reason, Record, from_json
from agent.daemon.store import Store
from agent.errors import EnvironmentFault

_log = logging.getLogger(__name__)


class Memory:
    """Holds the current record.

    Args:
        store: where it is kept, as the document ``record``.

    Attributes:
        record: the current record.
        lost: whether there was a record that could not be read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._saved: Record | None = None
        self.record = Record()
        self.lost = False

    def save(self, record: Record) -> None:
        """Makes a record durable and current; an idle record is not written again and again."""
        if record != self._saved and not (_is_idle(record) and self._saved is not None and _is_idle(self._saved)):
            self._store.save("record", record.to_json())
            self._saved = record
        self.record = record

    def load(self, *, trial: str, booted: str, others: tuple[str, ...]) -> Record:
        """Reads the record; when it is lost, the marker in the boot environment says what was under way.

        Args:
            trial: the marker, empty when no update is on trial.
            booted: boot name of the running slot.
            others: the boot names of the other slots, the likeliest fallback first.
        """
        try:
            stored = self._store.load("record")
            record = Record() if stored is None else from_json(stored)
        except EnvironmentFault as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
            self._store.quarantine("record")
            self.lost = True
            record, stored = Record(), None
        if record.state is State.IDLE and trial:
            _log.warning("the record was lost; the marker in the boot environment says: %s", trial)
            record = from_marker(trial, booted, others)
        self._saved = record if stored is not None or _is_idle(record) else None  # no document means idle
        self.record = record
        return record


def from_marker(trial: str, booted: str, others: tuple[str, ...]) -> Record:
    """Rebuilds what is needed to judge or to report an update from its marker.

    The marker is ``TARGET,ACTION,HASH``. With the target running, the trial goes on; otherwise the bootloader came back.
    """
    target, action_id, manifest_hash = (*trial.split(","), "", "")[:3]
    fallback = next((name for name in (booted, *others) if name != target), "")
    if target not in (booted, *others) or not fallback:
        _log.error("the marker names no slot of this device; it is ignored")
        return Record()
    reason = None
    if booted != target:
        reason = Reason("boot.fallback", "the new system did not come up, and the record of the update was lost")
    return Record(
        state=State.TRIAL if booted == target else State.REVERTING,
        origin="local" if action_id in ("", "-") else "server",
        action_id=action_id,
        manifest_hash=manifest_hash,
        target=target,
        fallback=fallback,
        reason=reason,
    )


def _is_idle(record: Record) -> bool:
    return record.state is State.IDLE
