"""The ledger on the medium, and the age of what stands in it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.clock import Clock, moment
from agent.consent import elapsed, ledger
from agent.consent.elapsed import Moment
from agent.consent.ledger import Entry, Ledger
from agent.errors import EnvironmentFault, OtaError

if TYPE_CHECKING:
    from agent.daemon.store import Store

_KEEP = 900.0  # seconds between two writes of how long an update has waited
_NAME = "consent"
_log = logging.getLogger(__name__)


class Book:
    """Reads and writes ``consent.json``.

    Args:
        store: where it is.
        clock: time.
        boot_id: of this boot.
    """

    def __init__(self, store: Store, clock: Clock, boot_id: str) -> None:
        self._store = store
        self._clock = clock
        self._boot_id = boot_id
        self._ledger = self._loaded()

    def aged(self, bundle: str) -> Entry | None:
        """What is known of a bundle, with its age now, which is written now and then and once in each boot."""
        entry = self._ledger.entry(bundle) if bundle else None
        if entry is None:
            return None
        now = replace(entry, meter=entry.meter.at(self._moment()))
        if entry.meter.boot_id != self._boot_id or now.meter.elapsed - entry.meter.elapsed >= _KEEP:
            self.try_put(now)
        return now

    def begin(self, bundle: str) -> None:
        """Takes note that a bundle is known from now on, unless it is already."""
        if bundle and self._ledger.entry(bundle) is None:
            self.try_put(Entry(bundle, elapsed.started(self._moment())))

    def put(self, entry: Entry) -> None:
        """Replaces what is known of a bundle; raises EnvironmentFault ``state.write-failed``."""
        self._save(self._ledger.with_entry(entry))

    def try_put(self, entry: Entry) -> None:
        """The same where an update must not fail for it: what cannot be written is remembered until the restart."""
        try:
            self.put(entry)
        except EnvironmentFault as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
            self._ledger = self._ledger.with_entry(entry)

    def drop(self, bundle: str) -> None:
        """Forgets a bundle; where that cannot be written, it is the oldest one day."""
        if self._ledger.entry(bundle) is None:
            return
        try:
            self._save(self._ledger.without(bundle))
        except EnvironmentFault as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})

    def approved(self, identity: str) -> bool:
        """Whether this action was approved before it was offered."""
        return identity in self._ledger.approved

    def answer(self, identity: str, *, approved: bool) -> None:
        """Takes note of that, or of the contrary; raises EnvironmentFault ``state.write-failed``."""
        if approved is not self.approved(identity):
            self._save(self._ledger.with_answer(identity, approved=approved))

    def _moment(self) -> Moment:
        clock = self._clock
        return Moment(self._boot_id, clock.boottime(), clock.wall(), moment(clock) is not None)

    def _save(self, now: Ledger) -> None:
        self._store.save(_NAME, now.to_json())
        self._ledger = now

    def _loaded(self) -> Ledger:
        try:
            values = self._store.load(_NAME)
            return ledger.from_json(values) if values is not None else Ledger()
        except ValueError as error:
            _log.error(
                "what was said to updates cannot be read: %s", error, extra={"OTA_ERROR_CODE": "state.unreadable"}
            )
            self._store.quarantine(_NAME)
        except OtaError as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
        return Ledger()
