"""Feedback that has not arrived yet, in order.

A pure value: every change returns a new outbox, and the caller stores it durably before it acts on it. The laws:

1. A terminal message is never lost: only the server's word removes it (delivered, or malformed twice), and a malformed
   one leaves a ``Refusal`` behind.
2. Within an action, messages leave in order, and a terminal one after every intermediate one.
3. An action never gets more than 100 status entries from us in its life. hawkBit allows 1000 by default and counts an
   entry of its own (RETRIEVED) for a document that is read after any other entry, so that n messages make at most
   2n + 1 entries. Messages that the server may have stored without our knowing count as well.
4. One message that is refused does not keep back other actions for ever.
5. What is stored can be read back: the size has a limit.
6. The same message may be delivered twice; nothing here depends on it arriving only once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from agent.hawkbit.answers import Answer, Meaning, meaning
from agent.hawkbit.feedback import MAX_DETAILS, Feedback

MAX_MESSAGES = 40  # of an action that the server may have stored, intermediate ones included; see law 3
MAX_INTERMEDIATE = 10  # waiting, per action
MAX_INTERMEDIATE_TOTAL = 40
MAX_OWED = 64  # terminal messages; a server that owes us so many answers is asked for no more work
MAX_SIZE = 900_000  # bytes; the store reads 1 MiB
PATIENCE = 10  # refusals of one message before it stops blocking the others
_KEPT_TALLIES = 32
_KEPT_REFUSALS = 8
_SHORT = 2  # lines that stay of a message when there is no room: the code and the reason


@dataclass(frozen=True, slots=True)
class Entry:
    """A message on its way.

    Args:
        number: counts up in the life of the outbox; identifies the entry.
        feedback: the message.
        timestamp_ms: when it happened (milliseconds since 1970), if the clock could be believed then.
        offset_ms: the date minus the time since the boot, at that moment; another value now means a clock that jumped.
        stripped: the server refused it once as malformed; it goes out again without optional fields.
        refusals: how often the server did not take it, up to the patience.
        repeats: how often the server may have stored it without our knowing.
    """

    number: int
    feedback: Feedback
    timestamp_ms: int | None = None
    offset_ms: int = 0
    stripped: bool = False
    refusals: int = 0
    repeats: int = 0

    @property
    def stuck(self) -> bool:
        """Whether it has been refused so often that it must not keep others back."""
        return self.refusals >= PATIENCE

    def body(self, *, timestamp: bool = True) -> bytes:
        """The body to post to ``feedback.path``; ``timestamp`` is False when the clock has jumped since it happened."""
        return self.feedback.body(self.timestamp_ms if timestamp else None, minimal=self.stripped)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A terminal message that the server has refused as malformed, twice; ``status`` is the HTTP status."""

    number: int
    kind: str
    action_id: str
    finished: str
    status: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How many messages of an action the server has stored, or may have."""

    action_id: str
    count: int


@dataclass(frozen=True, slots=True)
class Outbox:
    """What is still to be said, first things first, and what must be remembered of what was said.

    Args:
        entries: what waits.
        last: the highest number that was given to an entry.
        heard: the number of the last terminal message that was delivered.
        tallies: for the actions that are not over.
        refused: the latest terminal messages that the server would not take.
    """

    entries: tuple[Entry, ...] = ()
    last: int = 0
    heard: int = 0
    tallies: tuple[Tally, ...] = field(default=())
    refused: tuple[Refusal, ...] = ()

    def add(self, feedback: Feedback, timestamp_ms: int | None = None, offset_ms: int = 0) -> Outbox:
        """Returns an outbox with one more message.

        A terminal message whose (kind, action) already has one is ignored: the first verdict stands. Only a success that
        still waits gives way to a failure: what had succeeded is gone before anybody was told; and an answer to the
        question for a confirmation to a newer answer. An intermediate message goes before the terminal one of its action,
        and is ignored when it repeats the last one.
        """
        entry = Entry(self.last + 1, feedback, timestamp_ms, offset_ms)
        same = [e for e in self.entries if _subject(e.feedback) == _subject(feedback)]
        ends = [e for e in same if e.feedback.terminal]
        if feedback.terminal and ends:
            return self._with(_exchange(self.entries, ends[0], entry)) if _gives_way(ends[0], feedback) else self
        before = [e for e in same if not e.feedback.terminal]
        if not feedback.terminal and before and before[-1].feedback == feedback:
            return self
        at = self.entries.index(ends[0]) if ends else len(self.entries)
        return self._with((*self.entries[:at], entry, *self.entries[at:]))

    def next(self, passed: Collection[str] = (), *, stuck: bool = False) -> Entry | None:
        """The message to send now.

        Args:
            passed: actions that have to wait; order within an action is kept.
            stuck: also those that have been refused too often.
        """
        waiting: set[str] = set(passed)
        for entry in self.entries:
            if entry.feedback.action_id not in waiting:
                if stuck or not entry.stuck:
                    return entry
                waiting.add(entry.feedback.action_id)
        return None

    @property
    def blocked(self) -> bool:
        """Whether more must arrive before the server is asked for work: its picture of this device is old."""
        return self.next() is not None or self.overloaded

    @property
    def overloaded(self) -> bool:
        """Whether the server has left so many ends unheard that it can give no more work."""
        return sum(entry.feedback.terminal for entry in self.entries) > MAX_OWED

    @property
    def stuck(self) -> bool:
        """Whether something has been refused too often to be waited for."""
        return any(entry.stuck for entry in self.entries)

    @property
    def owed(self) -> frozenset[str]:
        """The actions that have ended here without the server's having heard of it."""
        return frozenset(e.feedback.action_id for e in self.entries if ends_action(e.feedback))

    def repeated(self, entry: Entry) -> Outbox:
        """Returns the outbox before a message is sent that may have been sent before, by a process that has died since."""
        return self._with(_exchange(self.entries, entry, replace(entry, repeats=entry.repeats + 1)))

    def settle(self, entry: Entry, answer: Answer) -> Outbox:
        """Returns the outbox after an attempt; unchanged when the message is not there any more."""
        if entry not in self.entries:
            return self
        said = entry.feedback
        match meaning(said, answer, stripped=entry.stripped):
            case Meaning.DELIVERED:
                return self._removed(entry, stored=1)
            case Meaning.STRIP:
                return self._with(_exchange(self.entries, entry, replace(entry, stripped=True)))
            case Meaning.MALFORMED if said.terminal:
                refusal = Refusal(entry.number, said.kind, said.action_id, said.finished, answer.status or 0)
                kept = (*self.refused, refusal)[-_KEPT_REFUSALS:]
                return replace(self._removed(entry), refused=kept)
            case Meaning.MALFORMED:
                return self._removed(entry)
            case Meaning.EXHAUSTED:
                others = tuple(e for e in self.entries if e.feedback.terminal or e.feedback.action_id != said.action_id)
                return _counted(replace(self, entries=others), said.action_id, MAX_MESSAGES)
            case _:
                refused = answer.status is not None or answer.sent
                now = replace(
                    entry,
                    refusals=min(entry.refusals + refused, PATIENCE),
                    repeats=entry.repeats + answer.perhaps_stored,
                )
                return self if now == entry else self._with(_exchange(self.entries, entry, now))

    def give_up(self, entry: Entry) -> Outbox:
        """Returns an outbox without an intermediate message that is refused by a server that otherwise answers."""
        now = next((e for e in self.entries if e.number == entry.number), None)
        return self if now is None or now.feedback.terminal else self._removed(now)

    @property
    def unheard(self) -> Refusal | None:
        """The last terminal message, if the server would not take it."""
        return next((refusal for refusal in self.refused[-1:] if refusal.number > self.heard), None)

    def _with(self, entries: tuple[Entry, ...]) -> Outbox:
        last = max((self.last, *(e.number for e in entries)))
        return _short(_few(replace(self, entries=entries, last=last)))

    def _removed(self, entry: Entry, stored: int = 0) -> Outbox:
        said = entry.feedback
        left = replace(self, entries=tuple(e for e in self.entries if e != entry))
        if said.terminal and stored:
            left = replace(left, heard=max(self.heard, entry.number))
        if ends_action(said):
            return replace(left, tallies=tuple(t for t in left.tallies if t.action_id != said.action_id))
        return _counted(left, said.action_id, stored + entry.repeats)

    def count(self, action_id: str) -> int:
        """How many messages of an action the server has stored, or may have."""
        return next((tally.count for tally in self.tallies if tally.action_id == action_id), 0)


def ends_action(message: Feedback) -> bool:
    """Whether the server closes the action when it hears this."""
    return message.terminal and message.execution in ("closed", "downloaded")


def _subject(message: Feedback) -> tuple[str, str]:
    return message.kind, message.action_id


def _gives_way(waiting: Entry, newer: Feedback) -> bool:
    if newer.kind not in ("deployment", "cancel"):
        return waiting.feedback != newer
    return waiting.feedback.finished == "success" and newer.finished == "failure"


def _exchange(entries: tuple[Entry, ...], old: Entry, new: Entry) -> tuple[Entry, ...]:
    return tuple(new if e.number == old.number else e for e in entries)


def _intermediate(outbox: Outbox) -> list[Entry]:
    return [e for e in outbox.entries if not e.feedback.terminal]


def _few(outbox: Outbox) -> Outbox:
    """Merges intermediate messages, and in the end drops them, before they endanger the quota of their action."""
    for action in dict.fromkeys(e.feedback.action_id for e in _intermediate(outbox)):
        while (mine := [e for e in _intermediate(outbox) if e.feedback.action_id == action]) and (
            len(mine) > MAX_INTERMEDIATE or outbox.count(action) + sum(1 + e.repeats for e in mine) > MAX_MESSAGES
        ):
            if len(mine) > 1 and _subject(mine[0].feedback) == _subject(mine[1].feedback):
                outbox = _merged(outbox, mine[0], mine[1])
            else:
                outbox = outbox.give_up(mine[0])
    waiting = _intermediate(outbox)
    return outbox.give_up(waiting[0]) if len(waiting) > MAX_INTERMEDIATE_TOTAL else outbox


def _merged(outbox: Outbox, older: Entry, newer: Entry) -> Outbox:
    """Two neighbours become one; the newer lines are the ones that stay when there are too many."""
    lines = (*older.feedback.details, *newer.feedback.details)[-MAX_DETAILS:]
    merged = replace(newer, feedback=replace(newer.feedback, details=lines), stripped=False, refusals=0, repeats=0)
    left = replace(
        outbox, entries=tuple(e for e in _exchange(outbox.entries, newer, merged) if e.number != older.number)
    )
    return _counted(left, newer.feedback.action_id, older.repeats + newer.repeats)


def _counted(outbox: Outbox, action_id: str, more: int) -> Outbox:
    if not more:
        return outbox
    others = tuple(tally for tally in outbox.tallies if tally.action_id != action_id)
    now = Tally(action_id, min(outbox.count(action_id) + more, MAX_MESSAGES))
    return replace(outbox, tallies=(*others, now)[-_KEPT_TALLIES:])


def _short(outbox: Outbox) -> Outbox:
    """Makes room: intermediate messages go, then terminal ones keep their first lines only."""
    while sum(map(_size, outbox.entries)) > MAX_SIZE:
        if waiting := _intermediate(outbox):
            outbox = outbox.give_up(waiting[0])
            continue
        longest = max(outbox.entries, key=_size)
        said = longest.feedback
        short = replace(longest, feedback=replace(said, details=said.details[:_SHORT]))
        if short == longest:
            break
        outbox = replace(outbox, entries=_exchange(outbox.entries, longest, short))
    return outbox


def _size(entry: Entry) -> int:
    """At most so many bytes when it is stored: each character may need a backslash, each line a margin."""
    return 600 + sum(2 * len(line) + 16 for line in entry.feedback.details)
