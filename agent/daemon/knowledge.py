"""What the device knows beyond the update under way: what each slot holds, the version floor, how the last update ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TypeVar

from agent.daemon.policy import highest
from agent.daemon.slot_status import Content, Holdings, from_json
from agent.daemon.store import Store
from agent.errors import EnvironmentFault

_T = TypeVar("_T")
_ANSWERS = 16  # that are remembered; a server asks about one action at a time


@dataclass(frozen=True, slots=True)
class Ending:
    """How an update ended, kept for ``status``.

    ``target`` is the boot name of the slot that was to run. ``repeats`` counts how often the same action of the server
    ended before this time.
    """

    outcome: str = ""
    version: str = ""
    code: str = ""
    brief: str = ""
    details: str = ""
    resolution: str = ""
    finished: int = 0  # seconds since the epoch
    action_id: str = ""  # the server's
    target: str = ""
    repeats: int = 0
    artifact: str = ""  # what tells the action's bundle from another one's: ids are used again by some servers


class Knowledge:
    """Typed access to the durable documents ``slots``, ``facts`` and ``ending``.

    Raises (every method):
        EnvironmentFault: ``state.unreadable`` once for a broken document, which is then put aside, and
            ``state.write-failed``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def content(self, bootname: str) -> Content:
        """What the slot group ``bootname`` is known to hold; empty fields when that is not known."""
        return self.holdings().group(bootname)

    def holdings(self) -> Holdings:
        """What is known of all groups and slots."""
        values = self._document("slots")
        try:
            return from_json(values)
        except EnvironmentFault as error:
            self._store.quarantine("slots")
            error.details += "; the document was put aside"
            raise

    def change_holdings(self, change: Callable[[Holdings], Holdings]) -> None:
        """Remembers other facts about groups and slots, in one durable write; none when nothing changes."""
        known = self.holdings()
        wanted = change(known)
        if wanted != known:
            self._store.save("slots", wanted.to_json())

    def floor(self) -> str:
        """The lowest version that confirmed bundles allow from now on; empty when none has asked for one."""
        return str(self._document("facts").get("floor", ""))

    def signed_at(self) -> int:
        """When the newest confirmed bundle was signed (seconds since the epoch): it cannot be earlier now."""
        value = self._document("facts").get("signed_at", 0)
        return value if isinstance(value, int) else 0

    def confirmed(self, min_version: str, signed_at: int) -> None:
        """Raises the floor and the clock's lower bound after a confirmed boot; they never go down."""
        facts = self._document("facts")
        floor, bound = highest(self.floor(), min_version), max(self.signed_at(), signed_at)
        if (floor, bound) != (self.floor(), self.signed_at()):
            self._store.save("facts", {**facts, "floor": floor, "signed_at": bound})

    def ending(self) -> Ending:
        """How the last update ended; empty fields before the first."""
        return self._typed(Ending, "ending", self._document("ending"))

    def set_ending(self, ending: Ending) -> None:
        """Remembers how an update ended."""
        self._store.save("ending", dict(asdict(ending)))

    def answer_to(self, identity: str) -> str:
        """What was answered to a confirmation: ``confirmed``, ``denied``, or empty when it was not answered."""
        return str(self._answers().get(identity, ""))

    def remember_answer(self, identity: str, answer: str) -> None:
        """Remembers what was answered to a confirmation; the oldest of many answers are forgotten."""
        others = {key: value for key, value in self._answers().items() if key != identity}
        kept = dict([*others.items(), (identity, answer)][-_ANSWERS:])
        self._store.save("answers", {"given": [[key, value] for key, value in kept.items()]})

    def _answers(self) -> dict[str, str]:
        given = self._document("answers").get("given")
        pairs = given if isinstance(given, list) else []
        return {str(pair[0]): str(pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2}

    def _document(self, name: str) -> dict[str, object]:
        return self._store.load(name) or {}

    def _typed(self, kind: type[_T], name: str, values: Mapping[str, object]) -> _T:
        """What is known of the fields; unknown ones were written by a newer agent in the other slot."""
        known = {item.name: type(item.default) for item in fields(kind)}  # type: ignore[arg-type]  # only for dataclasses
        found = {key: value for key, value in values.items() if key in known}
        for key, value in found.items():
            if type(value) is not known[key]:
                self._store.quarantine(name)
                raise EnvironmentFault(
                    "state.unreadable", f"the state document {name} cannot be read",
                    details=f"{key} is no {known[key].__name__}; the document was put aside",
                )  # fmt: skip
        return kind(**found)
