"""What decides how a device goes on after a power cut, as one text; and which cut is booted next. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torture.judge import Found
from torture.results import Cut

AGAIN = 2  # a situation is booted so often, and more often only when there is nothing else
_WAITING = 20  # copies of drives, half a gigabyte each
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
        if depth > _DEPTH or len(self.waiting) >= _WAITING:
            return False
        alike = sum(each.cut.course == cut.course for each in self.waiting)
        return self._driven[cut.course] + alike < AGAIN

    def add(self, cut: Cut, depth: int) -> None:
        """There is a copy of it."""
        self.waiting.append(Kept(cut, any(f"record {state}" in cut.course for state in _NEAR), depth))

    def take(self) -> Kept | None:
        """The next: what was never seen at rest first, and of those what is near its end."""
        if not self.waiting:
            return None
        best = min(self.waiting, key=lambda each: (self._driven[each.cut.course], not each.near, each.cut.number))
        self.waiting.remove(best)
        self.drive(best.cut)
        return best

    def drive(self, cut: Cut) -> None:
        """A device is booted from it."""
        self._driven[cut.course] += 1


def driven(cuts: Sequence[Cut]) -> Counter[str]:
    """How often each course was driven to rest."""
    return Counter(cut.course for cut in cuts)
