"""Notes that a new system makes while it is on trial, for the system that may have to say why it did not stay.

They lie in the state directory, which both share, as the document ``trial``. Nothing depends on them but the reason of a
fallback: what cannot be written is logged and missed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import Clock
from agent.config import HealthSettings
from agent.daemon.store import Store, UnlockedStore
from agent.errors import EnvironmentFault
from agent.health.cause.notes import AGENT, MAX_KNOWN, BootNote, Notes, from_json, lines
from agent.health.result import CheckResult

if TYPE_CHECKING:
    from agent.health.cause.bootstatus import BootStatus
    from agent.health.cause.pstore import Panic
    from agent.health.cause.why import Evidence

PAUSE = 30.0  # seconds from one note of a boot to the next, unless what is red has changed
_PAUSE_OF_CHANGES = 5.0  # seconds: a check that flaps must not wear out the medium
_DOCUMENT = "trial"
_UNJUDGED = "unjudged"  # written by systemd/ota-agent-leave-trial, which knows nothing of the agent

_log = logging.getLogger(__name__)


class TrialNotes:
    """Keeps the notes of one trial.

    Args:
        store: where they are.
        settings: where the kernel and the watchdogs leave their traces.
        clock: for the time since the boot.
    """

    def __init__(self, store: Store, settings: HealthSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._notes: Notes | None = None
        self._boot = BootNote("")
        self._written_at = 0.0

    def begin(self, marker: str) -> None:
        """Before the switch, in the old system: from here on, what is new belongs to the trial.

        Args:
            marker: see ``Record.trial_marker``.
        """
        found = self._panics()
        self._remove(_UNJUDGED)
        self._save(Notes(marker, known=tuple(panic.identity for panic in found[:MAX_KNOWN])))

    def entered(self, marker: str, boot_id: str) -> None:
        """The new system runs, and its agent too; also what the last reset has left is noted, should it be overwritten.

        Args:
            marker: see ``begin``.
            boot_id: of this boot.
        """
        notes = self._load(marker) or Notes(marker)
        if all(boot.boot_id != boot_id for boot in notes.boots):
            status = self._boot_status()
            if notes.boots:
                notes = replace(notes, flags=notes.flags | (status.flags & ~notes.usual))
            else:
                notes = replace(notes, usual=status.flags)
            notes = replace(notes, panic=notes.panic or self._panic(notes))
        self._boot = BootNote(boot_id, failed=notes.boot(boot_id).failed)
        self._write(notes)

    def round(self, results: Sequence[CheckResult]) -> None:
        """One round of checks is over: noted down seldom, and soon when something else is red than before."""
        red = lines([f"{result.name}: {result.text}" for result in results if not result.ok])
        since = self._clock.boottime() - self._written_at
        changed = _names(red) != _names(self._boot.failed)
        if self._notes is not None and since >= (_PAUSE_OF_CHANGES if changed else PAUSE):
            self._boot = replace(self._boot, failed=red)
            self._write(self._notes)

    def left(self, how: str) -> None:
        """The agent ends in the middle of the trial.

        Args:
            how: see ``agent.health.cause.notes``.
        """
        if self._notes is not None:
            self._boot = replace(self._boot, left=how)
            self._write(self._notes)

    def evidence(self, marker: str, *, target: str, running: str, reverted: bool, confirmed: bool = False) -> Evidence:
        """What is known in the old system, after the bootloader went back to it.

        Args:
            marker: see ``begin``.
            target: boot name of the slot on trial.
            running: boot name of the running one.
            reverted: the marker is gone from the boot environment.
            confirmed: the trial was over, and well.
        """
        from agent.health.cause.bootstatus import CARDRESET
        from agent.health.cause.why import Evidence

        notes = self._load(marker)
        status = self._boot_status()
        known = notes or Notes(marker)
        return Evidence(
            target=target,
            running=running,
            boots=() if confirmed else known.boots,
            noted=notes is not None,
            reverted=reverted,
            confirmed=confirmed,
            unjudged=self._unjudged(target),
            # Without notes it is not known which panic is old.
            panic=known.panic or (self._panic(known) if notes is not None else ""),
            flags=known.flags | (status.flags & ~known.usual),
            # A flag that this board shows after each restart, or that the first attempt left, hides another such reset.
            reports=status.reports and not status.flags & known.usual & CARDRESET,
        )

    def forget(self) -> None:
        """The update has ended, and the end is told."""
        self._notes = None
        self._remove(_DOCUMENT)
        self._remove(_UNJUDGED)

    def _panics(self) -> list[Panic]:
        from agent.health.cause.pstore import panics  # seldom needed, as the next one

        return panics(self._settings.pstore)

    def _boot_status(self) -> BootStatus:
        from agent.health.cause.bootstatus import boot_status

        return boot_status(self._settings.bootstatus)

    def _panic(self, notes: Notes) -> str:
        """The oldest panic since the trial began: the first thing that went wrong."""
        new = [panic.text for panic in self._panics() if panic.identity not in notes.known]
        return new[-1] if new else ""

    def _write(self, notes: Notes) -> None:
        now = self._clock.boottime()
        self._boot = replace(self._boot, uptime=now)
        self._written_at = now
        self._save(notes.with_boot(self._boot))

    def _save(self, notes: Notes) -> None:
        self._notes = notes
        try:
            self._store.save(_DOCUMENT, notes.to_json())
        except EnvironmentFault as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})

    def _load(self, marker: str) -> Notes | None:
        try:
            notes = from_json(self._store.load(_DOCUMENT))
        except EnvironmentFault as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
            return None
        return notes if notes is not None and notes.marker == marker else None

    def _unjudged(self, target: str) -> bool:
        try:
            values = self._store.load(_UNJUDGED)
        except EnvironmentFault:
            return False
        return values is not None and values.get("slot") == target

    def _remove(self, name: str) -> None:
        try:
            self._store.remove(name)
        except EnvironmentFault as error:
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})


def leave(state_dir: Path, marker: str, boot_id: str, uptime: float, text: str) -> None:
    """Notes that the agent cannot work and restarts the device: for a daemon that could not be built.

    Args:
        state_dir: where the notes are; no other agent may be using it.
        marker: see ``TrialNotes.begin``.
        boot_id: of this boot.
        uptime: seconds since the boot.
        text: why.

    Raises:
        EnvironmentFault: ``state.write-failed``, ``state.unreadable``.
    """
    store = UnlockedStore(state_dir)
    found = from_json(store.load(_DOCUMENT))
    notes = found if found is not None and found.marker == marker else Notes(marker)
    boot = replace(notes.boot(boot_id), uptime=uptime, left=AGENT, text=lines([text])[0])
    store.save(_DOCUMENT, notes.with_boot(boot).to_json())


def _names(red: Sequence[str]) -> list[str]:
    return [text.partition(": ")[0] for text in red]
