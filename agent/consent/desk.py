"""Where the people, the policy and the update meet: what holds an update back, who is told, and what they answer.

The worker asks; D-Bus calls from the main thread. Postponements and changes of the policy are durable before they are
acknowledged; a yes or a no is before anything follows from it, and is asked for once more if it was lost until then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, inf

from agent.audit.port import Auditor
from agent.clock import Clock, moment, plausible
from agent.config import PolicySettings
from agent.consent import policy, windows
from agent.consent.board import Board
from agent.consent.book import Book
from agent.consent.changes import Changes, as_record
from agent.consent.deferral import Deferral, Limits
from agent.consent.facts import Facts, facts_of, in_language
from agent.consent.gates import LOOK, Gates
from agent.consent.ledger import Entry
from agent.consent.notice import Notice
from agent.consent.rules import Case, Hold, Stride, holds
from agent.consent.windows import Opening
from agent.daemon.handling import forced
from agent.daemon.inbox import Consent, Inbox
from agent.daemon.machine import CANCELLABLE, State
from agent.daemon.record import Record
from agent.errors import PolicyError

_REMIND = 86400.0  # seconds between two reminders of one that waits for a person
_WAITING = (State.HELD, State.WAITING, State.STAGED)
_PERSON = (Hold.CONSENT, Hold.OPT_OUT)
_UNTOLD = (State.OFFERED, State.INSPECTING)
_log = logging.getLogger(__name__)


class Desk:
    """Thread safe.

    Args:
        clock: time.
        inbox: wakes the worker.
        changes: the policy in force.
        book: what was said to updates.
        gates: the surroundings.
        board: where the notice hangs.
        tell: publishes properties and signals.
        audit: records answers and changes.
    """

    def __init__(
        self,
        clock: Clock,
        inbox: Inbox,
        *,
        changes: Changes,
        book: Book,
        gates: Gates,
        board: Board,
        tell: Callable[[Mapping[str, object]], None],
        audit: Auditor,
    ) -> None:
        self._lock = threading.RLock()
        self._clock = clock
        self._inbox = inbox
        self._gates = gates
        self._board = board
        self._tell = tell
        self._audit = audit
        self._changes = changes
        self._book = book
        self._record: Record | None = None
        self._holds: tuple[Hold, ...] = ()
        self._asked: tuple[str, str] | None = None
        self._inhibited: tuple[tuple[str, str], ...] = ()

    # What the worker asks.

    def holds(self, record: Record, stride: Stride) -> tuple[Hold, ...]:
        """What keeps this device from doing that to the update now; the server's part is in ``agent.daemon.handling``."""
        now = self._policy
        shut = self._gates.shut(now)  # without the lock: other services may take their time, people do not wait
        with self._lock:
            entry, facts = self._aged(record), facts_of(record.facts)
            if self._gates.inhibited != self._inhibited:
                self._inhibited = self._gates.inhibited
                self._tell({"Inhibited": list(self._inhibited)})
            case = Case(
                now, facts,
                forced=forced(record),
                consent=record.consent,
                overdue=entry is not None and entry.meter.elapsed >= policy.deadline(facts),
                postponed=entry is not None and entry.deferral.left(entry.meter.elapsed, self._limits(facts)) > 0,
                window=self._opening(entry).open,
                shut=shut if record.origin == "server" else shut - {Hold.METERED},
            )  # fmt: skip
            return holds(case, stride)

    def change_in(self, record: Record, waits: tuple[Hold, ...]) -> float | None:
        """Seconds until what holds an update back here may have changed; None when only somebody's word can change it."""
        with self._lock:
            entry, facts = self._aged(record), facts_of(record.facts)
            age = entry.meter.elapsed if entry is not None else 0.0
            times = [LOOK] if {Hold.METERED, Hold.POWER, Hold.BUSY, Hold.INHIBITOR} & set(waits) else []
            if Hold.WINDOW in waits:
                times.append(self._opening(entry).change)
            if entry is not None and Hold.POSTPONED in waits:
                times.append(entry.deferral.left(age, self._limits(facts)))
            if entry is not None and set(_PERSON) & set(waits):
                times.append(entry.reminded + _REMIND - age)
            if (left := policy.deadline(facts) - age) > 0:
                times.append(left)
            soonest = min(times, default=inf)
            return None if soonest == inf else max(0.0, soonest)

    def entered(self, record: Record) -> None:
        """An update has entered a state, or there is none any more."""
        with self._lock:
            if record.state is State.IDLE:
                self._record, self._holds, self._asked = None, (), None
                self._board.clear()
            elif record.state in (State.REVERTING, State.REPORTING):  # nothing can be said to it any more
                self._record, self._holds = record, ()
            elif record.state not in _UNTOLD and record.version:
                self.waits(record, ())

    def waits(self, record: Record, reasons: tuple[Hold, ...]) -> None:
        """Tells what an update waits for; nothing, when it goes on."""
        with self._lock:
            self._record, self._holds = record, reasons
            if reasons:  # what is installed at once needs no memory
                self._book.begin(record.manifest_hash)
            if self._board.show(self._notice(record, reasons)):
                self._audit.note("notice", record.version, urgency=facts_of(record.facts).urgency)
            self._remind(record, reasons)

    def offering(self, action_id: str, consent: str, told: Mapping[str, str] | None = None) -> None:
        """Somebody is asked about an action (``wanted``), or has answered; empty texts for nobody and nothing.

        Args:
            action_id: the server's number.
            consent: see ``telling.offer``.
            told: what is known of it. Nobody has signed that, but users are to hear of it even before it is looked at.
        """
        with self._lock:
            self._asked = (action_id, consent) if action_id or consent else None
            if self._record is not None:
                return
            if told and consent in ("wanted", "denied"):
                version, size = told.get("version", ""), told.get("size", "")
                known = int(size) if size.isdecimal() else 0
                notice = Notice(State.IDLE.value, action_id, version, Facts(), False, known, (Hold.CONSENT,))
                if self._board.show(notice):
                    self._audit.note("notice", version)
            else:
                self._board.clear()

    def approved_before(self, identity: str) -> bool:
        """Whether the server's question about this action was answered with yes by somebody on the device."""
        return self._book.approved(identity)

    def answer_before(self, identity: str, *, approved: bool) -> None:
        """Somebody on the device has answered the server's question about this action; the last word counts."""
        with self._lock:
            self._book.answer(identity, approved=approved)

    def ended(self, record: Record) -> None:
        """An update has ended."""
        with self._lock:
            if record.outcome == "success":
                self._book.drop(record.manifest_hash)
                self._tell({"Update.Installed": (record.version,)})
            elif record.reason is not None and record.reason.code.startswith(("boot.", "health.")):
                self._tell({"Update.RolledBack": (record.reason.brief,)})

    # What people say.

    def approve(self, action: str, by: str = "") -> None:
        """Lets an action begin that waits for consent, or that was denied before and is still offered.

        Args:
            action: the server's number; empty for whichever it is.
            by: who says so, for the record; so it is in the other methods.

        Raises:
            PolicyError: ``consent.none``.
        """
        with self._lock:
            asked = self._asked_about(action, waits=False)
            self._stop_postponing()
            self._audit.note("consent", "approved", action=asked, by=by)
            self._inbox.consent(Consent(asked, approved=True))

    def deny(self, action: str, reason: str, by: str = "") -> None:
        """Does not let it begin, nor go on while it still waits; the server is told the reason. Otherwise as ``approve``."""
        with self._lock:
            asked = self._asked_about(action, waits=self._record is None or self._record.state in _WAITING)
            self._audit.note("consent", "denied", action=asked, reason=reason, by=by)
            self._inbox.consent(Consent(asked, approved=False, reason=reason))

    def postpone(self, seconds: int, by: str = "") -> None:
        """Does not let the update go on for so long: neither its writing begins, nor the restart.

        Raises:
            PolicyError: ``consent.none``, ``consent.server-rules``, ``consent.postponed-often``, ``consent.postponed-long``.
            EnvironmentFault: ``state.write-failed``.
        """
        with self._lock:
            record, entry = self._record, None
            if record is not None and record.state in CANCELLABLE:
                self._book.begin(record.manifest_hash)
                entry = self._aged(record)
            if record is None or entry is None:
                raise _nothing("no update is there that could be postponed")
            if self._policy.profile == "managed" and forced(record):
                raise PolicyError(
                    "consent.server-rules", "the server decides when this update is installed",
                    details="it is forced, and the profile of this device is managed",
                    resolution="ask whoever manages this device",
                )  # fmt: skip
            limits = self._limits(facts_of(record.facts))
            deferral = entry.deferral.postponed(seconds, entry.meter.elapsed, limits)
            self._book.put(replace(entry, deferral=deferral, reminded=entry.meter.elapsed))
            self._audit.note("consent", "postponed", action=record.action_id, seconds=seconds, by=by)
            self._board.show(self._notice(record, self._holds))
            self._inbox.look_again()

    def install_now(self, by: str = "") -> None:
        """Does not wait for the maintenance window, the end of a postponement or another connection.

        Raises:
            PolicyError: ``consent.none``.
        """
        with self._lock:
            record = self._record
            if record is None or not self._holds:
                raise _nothing("no update waits")
            self._stop_postponing()
            self._audit.note("consent", "install-now", action=record.action_id, by=by)
            self._inbox.consent(Consent(record.action_id, approved=True, now=True))

    def set_policy(self, name: str, value: object, sender: str, by: str = "") -> None:
        """Changes a setting for this device, over restarts and updates.

        Args:
            name: of the setting, or of its property on D-Bus.
            value: plain values.
            sender: the bus name of who does it, which others are told.
            by: who that is, for the record.

        Raises:
            PolicyError: ``policy.unknown``, ``policy.invalid``, ``policy.time-zone``.
            EnvironmentFault: ``state.write-failed``, ``audit.write-failed``, ``audit.switched-often``.
        """
        with self._lock:
            if name in ("audit-recording", "AuditRecording"):
                self._switch_recording(value, sender, by)
                return
            before = self._changes.properties()
            self._changes.set(name, value)
            self._changed(before, sender, by)

    def reset_policy(self, sender: str, by: str = "") -> None:
        """Takes back everything that was changed; raises EnvironmentFault ``state.write-failed``."""
        with self._lock:
            before = self._changes.properties()
            self._changes.reset()
            self._changed(before, sender, by)

    def properties(self) -> dict[str, object]:
        """The properties of the policy, for whoever starts to show them."""
        return {
            "Profile": self._policy.profile,
            **self._changes.properties(),
            "Policy.AuditRecording": self._audit.recording,
            **self._board.properties(),
        }

    def summary(self, language: str) -> str:
        """What the update is about; empty when its manifest does not say."""
        return in_language(self._facts().summary, language)

    def user_action(self, language: str) -> str:
        """What users should do; empty when the manifest does not say."""
        return in_language(self._facts().user_action, language)

    # Inside.

    @property
    def _policy(self) -> PolicySettings:
        return self._changes.policy

    def _facts(self) -> Facts:
        record = self._record
        return facts_of(record.facts) if record is not None else Facts()

    def _limits(self, facts: Facts) -> Limits:
        now = self._policy
        end = policy.deadline(facts) if now.profile == "consumer" else inf
        return Limits(now.postpone_count, now.postpone_longest, policy.postpone_total(now, facts), end)

    def _aged(self, record: Record) -> Entry | None:
        return self._book.aged(record.manifest_hash)

    def _opening(self, entry: Entry | None) -> Opening:
        now, clock = self._policy, self._clock
        if not now.windows:
            return Opening(True, inf)
        wall, age = clock.wall(), entry.meter.elapsed if entry is not None else 0.0
        serves = windows.clock_serves(
            trusted=moment(clock) is not None, plausible=plausible(wall), uptime=clock.boottime(), age=age
        )
        if serves:
            return windows.opening(self._changes.windows, self._changes.zone, wall)
        return Opening(True, inf) if serves is None else Opening(False, LOOK)

    def _notice(self, record: Record, reasons: tuple[Hold, ...]) -> Notice:
        facts, entry = facts_of(record.facts), self._aged(record)
        limits = self._limits(facts)
        notice = Notice(
            record.state.value,
            record.action_id,
            record.version,
            facts,
            bool(record.manifest_hash),
            record.size,
            reasons,
        )
        if not notice.verified:
            return notice
        age, deferral = (entry.meter.elapsed, entry.deferral) if entry is not None else (0.0, Deferral())
        wall, end = self._clock.wall(), limits.deadline - age
        known = bool(reasons) or record.state not in (State.HELD, State.WAITING)
        by_itself = known and end != inf and plausible(wall) and not set(_PERSON) & set(reasons)
        return replace(
            notice,
            deadline=int((wall + end) // 60 * 60) if by_itself else 0,
            postponed=ceil(deferral.left(age, limits)),
            postponable=int(deferral.allowed(age, limits)) if record.state in CANCELLABLE else 0,
            used=deferral.used,
            left=max(0, limits.count - deferral.used),
        )

    def _remind(self, record: Record, reasons: tuple[Hold, ...]) -> None:
        entry = self._aged(record)
        if entry is None or not set(_PERSON) & set(reasons) or entry.meter.elapsed - entry.reminded < _REMIND:
            return
        self._book.try_put(replace(entry, reminded=entry.meter.elapsed))
        overdue = entry.meter.elapsed >= policy.deadline(facts_of(record.facts))
        text = "update %s still waits for somebody's consent" + (", and its deadline is over" if overdue else "")
        _log.log(logging.WARNING if overdue else logging.INFO, text, record.version)
        self._tell({"Update.Reminder": (record.version, self._notice(record, reasons).deadline)})

    def _asked_about(self, action: str, *, waits: bool) -> str:
        asked = self._asked
        if asked is not None and action in ("", asked[0]) and (asked[1] or waits):
            return asked[0]
        raise _nothing(f"action {action}" if action else "")

    def _stop_postponing(self) -> None:
        entry = self._aged(self._record) if self._record is not None else None
        if entry is None or self._record is None:
            return
        limits, age = self._limits(facts_of(self._record.facts)), entry.meter.elapsed
        if entry.deferral.left(age, limits) > 0:
            self._book.put(replace(entry, deferral=entry.deferral.stopped(age, limits)))

    def _changed(self, before: Mapping[str, object], sender: str, by: str) -> None:
        self._gates.forget()
        after = self._changes.properties()
        for name in (name for name in after if after[name] != before[name]):
            old, new = as_record(before[name]), as_record(after[name])
            self._audit.note("policy", name.partition(".")[2], old=old, new=new, by=by)
            self._tell({name: after[name]})
            self._tell({"Policy.Changed": (name.partition(".")[2], before[name], after[name], sender)})
        self._inbox.look_again()

    def _switch_recording(self, value: object, sender: str, by: str) -> None:
        if not isinstance(value, bool):
            raise PolicyError(
                "policy.invalid", "audit-recording cannot have this value", details="expected true or false"
            )
        before = self._audit.recording
        self._audit.switch(value, by)
        if value != before:
            self._tell({"Policy.AuditRecording": value})
            self._tell({"Policy.Changed": ("AuditRecording", before, value, sender)})


def _nothing(details: str) -> PolicyError:
    return PolicyError(
        "consent.none", "nothing waits for consent", details=details,
        resolution="ota-agent status shows what the server offers",
    )  # fmt: skip
