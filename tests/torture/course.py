"""What decides how a device goes on after a power cut, as one text; and which cut is booted next. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torture.judge import Found
from torture.results import Cut

AGAIN = 2  # a situation is booted so often, and more often only when there is nothing else
_WAITING = 14  # copies of drives, half a gigabyte each
_DEPTH = 3  # power cuts one after the other
# The way from there to the end is short, or it is long.
_NEAR = ("reporting", "confirming", "trial", "rebooting", "activating", "staged", "reverting")


def course(found: Found, status: str) -> str:
    """Environment, slots, what the agent remembers, and what the server knows.

    Args:
        found: what is on the drives.
        status: of the action on the server.
    """
    values = found.documents.values
    record = values.get("record", {})
    words = [found.situation, f"record {found.documents.state} {record.get('outcome', '')}".rstrip()]
    words.append(f"to tell {' '.join(_waiting(values.get('outbox', {}))) or 'nothing'}")
    words.append(f"remembers {values.get('ending', {}).get('outcome', 'nothing')}")
    return " | ".join([*words, f"floor {values.get('facts', {}).get('floor', '')}".rstrip(), f"server {status}"])


def step(text: str) -> str:
    """The state of the daemon's record in a course."""
    return text.partition("record ")[2].partition(" ")[0]


def _waiting(outbox: Mapping[str, object]) -> list[str]:
    """What kinds of messages wait; neighbours of one kind count once."""
    found: list[str] = []
    entries = outbox.get("entries")
    for entry in entries if isinstance(entries, list) else []:
        feedback = entry.get("feedback", {})
        kind = f"{feedback.get('execution', '')}/{feedback.get('finished', '')}"
        if found[-1:] != [kind]:
            found.append(kind)
    return found


@dataclass(frozen=True, slots=True)
class Kept:
    """A cut of which there is a copy.

    Attributes:
        cut: which.
        near: whether the way to the end is short from there.
        depth: power cuts that it takes to get there, this one included.
    """

    cut: Cut
    near: bool
    depth: int


class Queue:
    """The cuts that wait to be booted.

    Args:
        driven: how often each course was driven to rest already.
    """

    def __init__(self, driven: Counter[str]) -> None:
        self._driven, self.waiting = driven, list[Kept]()

    def wants(self, cut: Cut, depth: int) -> bool:
        """Whether this cut should be copied, if it is the last of ``depth``."""
        if depth > _DEPTH:
            return False
        alike = sum(each.cut.course == cut.course for each in self.waiting)
        if self._driven[cut.course] + alike >= AGAIN:
            return False
        return len(self.waiting) < _WAITING or self._value(_kept(cut, depth)) < self._value(self._worst())

    def add(self, cut: Cut, depth: int) -> Kept | None:
        """There is a copy of it. Returns one that is given up for it, if there are too many."""
        dropped = self._worst() if len(self.waiting) >= _WAITING else None
        if dropped is not None:
            self.waiting.remove(dropped)
        self.waiting.append(_kept(cut, depth))
        return dropped

    def _value(self, kept: Kept) -> tuple[int, bool, int]:
        """The less the better: what was never seen at rest, and of that what is near its end."""
        before = sum(each.cut.course == kept.cut.course and each.cut.number < kept.cut.number for each in self.waiting)
        return self._driven[kept.cut.course] + before, not kept.near, kept.cut.number

    def _worst(self) -> Kept:
        return max(self.waiting, key=self._value)

    def take(self) -> Kept | None:
        """The next, by its value."""
        if not self.waiting:
            return None
        best = min(self.waiting, key=self._value)
        self.waiting.remove(best)
        self.drive(best.cut)
        return best

    def drive(self, cut: Cut) -> None:
        """A device is booted from it."""
        self._driven[cut.course] += 1


def _kept(cut: Cut, depth: int) -> Kept:
    return Kept(cut, any(f"record {state}" in cut.course for state in _NEAR), depth)


def driven(cuts: Sequence[Cut]) -> Counter[str]:
    """How often each course was driven to rest."""
    return Counter(cut.course for cut in cuts)
