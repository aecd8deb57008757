"""The loop: save the record, run the activity of its state, apply the event, again.

It knows no detail of any activity. Its own rules are three: the record is durable before the activity starts; a
failure that may pass is tried again with growing pauses, a limited number of times over crashes too; and whatever is
raised in an activity ends as an explained failure of the update, never of the daemon.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import random

from agent.clock import Clock
from agent.daemon.inbox import Cancelled, Inbox, Stopped
from agent.daemon.machine import CANCELLABLE, LIMITED, Event, State, advance
from agent.daemon.memory import Memory
from agent.daemon.record import Reason, Record
from agent.errors import EnvironmentFault, OtaError, explain

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 600.0  # seconds
# A device may be without a network for days; that says nothing about the update, and costs none of its attempts.
_UNREACHABLE = frozenset({"net.dns", "net.connect", "net.timeout", "net.proxy"})
_UNSAVED_PAUSE = 5.0  # seconds
# A state directory that cannot be written must neither keep a new system on trial for ever, nor an old one from being
# marked good and from asking the server. What the medium holds of these states leads back to them after any crash.
_EVEN_UNSAVED = frozenset({State.IDLE, State.TRIAL, State.REVERTING})


@dataclass(frozen=True, slots=True)
class Step:
    """How an activity ended: the event, and the record with what it found out."""

    event: Event
    record: Record


Activity = Callable[[Record], Step]


@dataclass(frozen=True, slots=True)
class Patience:
    """How often the activity of one state is started, and the first pause in seconds between tries (then doubled)."""

    attempts: int
    pause: float


class Runner:
    """Drives one update after the other.

    Args:
        activities: one for each state.
        memory: holds the record and makes it durable.
        boot_id: of this boot.
        clock: for the time at which a state was entered.
        inbox: waits, and ends the loop.
        patience: see Patience.
        observe: told each record when its state is entered, after it was saved.
        watch: given a record that can be cancelled, returns what waits for so many seconds and raises Cancelled meanwhile
            when the server or a person has taken it back; without it, only a person can.
    """

    def __init__(
        self,
        activities: Mapping[State, Activity],
        *,
        memory: Memory,
        boot_id: str,
        clock: Clock,
        inbox: Inbox,
        patience: Patience,
        observe: Callable[[Record], None],
        watch: Callable[[Record], Callable[[float], None]] | None = None,
    ) -> None:
        self._activities = activities
        self._memory = memory
        self._boot_id = boot_id
        self._clock = clock
        self._inbox = inbox
        self._patience = patience
        self._offline = 0
        self._observe = observe
        self._watch = watch

    def run(self) -> None:
        """Goes on from the remembered record until the inbox says stop."""
        try:
            while True:
                try:
                    self._memory.record = self.turn(self._memory.record)
                except OtaError as error:  # the record cannot be saved, so the activity may not start
                    _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
                    self._inbox.pause(_UNSAVED_PAUSE)
        except Stopped:
            return

    def turn(self, record: Record) -> Record:
        """Runs one activity once and returns the record of what comes next (the same state after a passing failure)."""
        if record.state in CANCELLABLE and self._inbox.take_cancel():
            return self._cancelled(record, Cancelled(by_server=False))
        if record.state in LIMITED and record.attempts >= self._patience.attempts:
            return self.failed(record, _given_up(record))
        fresh = record.attempts == 0 or record.boot_id != self._boot_id
        record = replace(
            record,
            attempts=record.attempts + 1,
            boot_id=self._boot_id,
            entered=self._clock.boottime() if fresh else record.entered,
        )
        try:
            self._memory.save(record)
        except OtaError as error:
            if record.state is State.CONFIRMING:  # what cannot be remembered cannot be confirmed
                return self._after(record, error)
            if record.state not in _EVEN_UNSAVED:
                raise
            _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code, "OTA_STATE": record.state.value})
            self._memory.record = record
        self._observe(record)
        try:
            step = self._activities[record.state](record)
        except Stopped:
            raise
        except Cancelled as order:
            return self._cancelled(self._memory.record, order)
        except Exception as error:  # noqa: BLE001 - whatever it is, the update must end explained and the daemon go on
            try:
                return self._after(self._memory.record, error)
            except Cancelled as order:
                return self._cancelled(self._memory.record, order)
        return self._enter(replace(step.record, state=record.state), step.event)

    def failed(self, record: Record, error: BaseException) -> Record:
        """Ends the update with a reason; the first reason stays."""
        parts = explain(error)
        reason = Reason(str(parts["code"]), str(parts["brief"]), str(parts["details"])[:2000], str(parts["resolution"]))
        _log.error("%s", error, extra={"OTA_ERROR_CODE": reason.code, "OTA_STATE": record.state.value})
        return self._enter(replace(record, outcome="failure", reason=record.reason or reason), Event.FAILED)

    def _cancelled(self, record: Record, order: Cancelled) -> Record:
        outcome, reason = "vanished" if order.vanished else "cancelled", None
        if not order.by_server:
            reason = Reason("update.cancelled", "the update was cancelled on the device")
        return self._enter(replace(record, outcome=outcome, reason=reason), Event.CANCELLED)

    def _after(self, record: Record, error: Exception) -> Record:
        parts = explain(error)
        endless = record.state in (State.IDLE, State.REVERTING, State.REPORTING)
        if not endless and not parts["retryable"]:
            return self.failed(record, error)
        unforeseen = parts["code"] == "internal.unexpected"
        _log.warning(
            "%s is tried again: %s", record.state.value, error, exc_info=error if unforeseen else None,
            extra={"OTA_ERROR_CODE": parts["code"], "OTA_STATE": record.state.value},
        )  # fmt: skip
        record = after_failure(record, str(parts["code"]))
        unreachable = parts["code"] in _UNREACHABLE and record.state in CANCELLABLE
        self._offline = self._offline + 1 if unreachable else 0
        if endless or unreachable or record.attempts < self._patience.attempts:
            self._pause(record)
            return replace(record, attempts=record.attempts - 1) if unreachable else record
        return self.failed(record, error)

    def _pause(self, record: Record) -> None:
        tries = max(record.attempts, self._offline) - 1
        # Up to half as much more: what stopped this device may have stopped a whole fleet in the same second.
        pause = min(_LONGEST_PAUSE, self._patience.pause * 2 ** min(tries, 16)) * (1 + random() / 2)  # noqa: S311 - no secret
        if record.state in CANCELLABLE and self._watch is not None:
            self._watch(record)(pause)
            return
        end = self._clock.boottime() + pause
        while (left := end - self._clock.boottime()) > 0:
            if record.state in CANCELLABLE and self._inbox.cancel_asked():
                return
            self._inbox.wait(left)

    @staticmethod
    def _enter(record: Record, event: Event) -> Record:
        return replace(record, state=advance(record.state, event), attempts=0)


def after_failure(record: Record, code: str) -> Record:
    """What a passing failure means for the progress made: a slot that read back wrong is written from its start."""
    return replace(record, checkpoints={}) if code == "slot.read-back" else record


def _given_up(record: Record) -> EnvironmentFault:
    return EnvironmentFault(
        "update.attempts",
        "the update was given up after too many attempts",
        details=f"{record.attempts} starts of {record.state.value}",
        resolution="see the journal for what stopped it each time",
        retryable=False,
    )
