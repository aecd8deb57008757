"""What is noted down while a new system is on trial, for the case that it cannot tell it any more. Pure.

The document is a help and no obligation: what cannot be read exactly counts as no notes at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

SCHEMA = 1
MAX_BOOTS = 8  # the newest ones
MAX_LINES = 8  # of one kind in one boot
MAX_LINE = 300  # characters
MAX_KNOWN = 32  # panics that were there before
_T = TypeVar("_T")

STOPPED = "stopped"  # the service manager ended the agent, as it does before an orderly restart
AGENT = "agent"  # the agent could not work, and restarted the device to get out of the trial


@dataclass(frozen=True, slots=True)
class BootNote:
    """One boot of the new system, as its agent saw it.

    ``uptime`` is in seconds since the boot, when this was written; ``left`` tells how the agent ended (``STOPPED``, ``AGENT``,
    or empty when it wrote nothing about that), ``text`` says more about it; ``failed`` is what was red in the last round.
    """

    boot_id: str
    uptime: float = 0.0
    left: str = ""
    text: str = ""
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notes:
    """All boots of one trial.

    ``marker`` says which trial, see ``Record.trial_marker``. ``known`` are the identities of the panics that were there
    before it. ``usual`` are the flags that the watchdogs show after a restart that was our own, ``flags`` those of the resets
    afterwards. ``panic`` is the first panic of a boot that a later boot of the new system has found.
    """

    marker: str
    known: tuple[str, ...] = ()
    boots: tuple[BootNote, ...] = ()
    usual: int = 0
    flags: int = 0
    panic: str = ""

    def with_boot(self, boot: BootNote) -> Notes:
        """The notes with what is new about a boot; of many boots the oldest are forgotten."""
        others = tuple(each for each in self.boots if each.boot_id != boot.boot_id)
        return dataclasses.replace(self, boots=(*others, boot)[-MAX_BOOTS:])

    def boot(self, boot_id: str) -> BootNote:
        """What was noted about a boot."""
        return next((each for each in self.boots if each.boot_id == boot_id), BootNote(boot_id))

    def to_json(self) -> dict[str, object]:
        """Plain values for the store."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}


def lines(texts: Sequence[str]) -> tuple[str, ...]:
    """As many texts as are kept, cut and printable."""
    return tuple("".join(c if c.isprintable() else "?" for c in text)[:MAX_LINE] for text in texts[:MAX_LINES])


def from_json(values: Mapping[str, object] | None) -> Notes | None:
    """Reads what ``to_json`` wrote; None for anything else."""
    if values is None or values.get("schema") != SCHEMA or isinstance(values["schema"], bool):
        return None
    try:
        boots = tuple(_boot(each) for each in _list(values["boots"], MAX_BOOTS))
        known = tuple(_as(each, str) for each in _list(values["known"], MAX_KNOWN))
        usual, flags = (_as(values[name], int) for name in ("usual", "flags"))
        return Notes(_as(values["marker"], str), known, boots, usual, flags, _as(values["panic"], str))
    except (KeyError, ValueError):
        return None


def _boot(value: object) -> BootNote:
    if not isinstance(value, dict):
        raise ValueError("a boot is no object")
    failed = tuple(_as(each, str) for each in _list(value["failed"], MAX_LINES))
    return BootNote(
        _as(value["boot_id"], str), float(_as(value["uptime"], float)), _as(value["left"], str), _as(value["text"], str),
        failed,
    )  # fmt: skip


def _list(value: object, most: int) -> list[object]:
    if not isinstance(value, list | tuple) or len(value) > most:
        raise ValueError("no list, or too long")
    return list(value)


def _as(value: object, kind: type[_T]) -> _T:
    if type(value) is not kind or (isinstance(value, str) and len(value) > MAX_LINE):
        raise ValueError(f"no {kind.__name__}")
    return value
