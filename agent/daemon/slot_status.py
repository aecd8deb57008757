"""What each slot holds and what has happened to it, as a document of the store. Pure.

The keys of a slot are those of RAUC's central status file (``bundle.version``, ``installed.count``, ...), so that what is
known about RAUC's is known about this one. ``status`` is ``pending`` from before the first byte is written until all of it
was read back, then ``ok``; ``failed`` when it will not become complete, or no longer holds what was installed.

Documents without a schema were written before there was more than a state for each group; they are taken over.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TypeVar

from agent.errors import EnvironmentFault

SCHEMA = 2
MAX_SLOTS = 64  # as many as a configuration may have
MAX_TEXT = 200  # characters: with as many slots as there may be, the document stays below what the store reads
_MAX_NUMBER = 1 << 62
_STATUS = ("", "pending", "ok", "failed")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Content:
    """What a slot group holds.

    ``state`` is ``pending`` while it is written, ``installed``, ``activated`` from the switch on, ``confirmed`` or ``bad``.
    """

    state: str = ""
    version: str = ""
    manifest_hash: str = ""
    changed: int = 0  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """What one slot holds; the key of a field has a dot for its first underscore. Times are seconds since the epoch.

    Attributes:
        status: ``pending``, ``ok``, ``failed``, or empty when nothing is known.
        sha256: of the first ``size`` bytes as the medium gave them back; empty when there is no such digest.
        changed: who may have written to the slot since then: a program of the bundle (``hook``), whatever fitted the file
            system to the slot (``resize``), or the system in it (``use``). Then the digest tells nothing any more.
        installed_transaction: names the deployment: the server's action, and the digest of the manifest.
        scrubbed_result: what the last scrub found, see ``agent.daemon.activities.scrub``.
    """

    status: str = ""
    bundle_compatible: str = ""
    bundle_version: str = ""
    bundle_description: str = ""
    bundle_build: str = ""
    bundle_hash: str = ""
    filename: str = ""
    sha256: str = ""
    size: int = 0
    changed: str = ""
    installed_transaction: str = ""
    installed_timestamp: int = 0
    installed_count: int = 0
    activated_timestamp: int = 0
    activated_count: int = 0
    scrubbed_timestamp: int = 0
    scrubbed_result: str = ""

    @property
    def comparable(self) -> bool:
        """Whether the slot must still hold the bytes whose digest is known."""
        return bool(self.status == "ok" and self.sha256 and not self.changed)

    def facts(self) -> dict[str, str]:
        """What is known, as texts by key that any terminal and D-Bus can carry: a bundle may say anything of itself."""
        values = {_key(name): value for name, value in asdict(self).items()}
        return {key: printable(str(value)) for key, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Holdings:
    """The document: what is known of the groups, by boot name, and of the slots, by name."""

    groups: Mapping[str, Content] = field(default_factory=dict)
    slots: Mapping[str, SlotStatus] = field(default_factory=dict)

    def group(self, bootname: str) -> Content:
        """What the group is known to hold; empty fields when that is not known."""
        return self.groups.get(bootname) or Content()

    def slot(self, name: str) -> SlotStatus:
        """The status of a slot; empty fields when nothing is known."""
        return self.slots.get(name) or SlotStatus()

    def only(self, groups: Collection[str], slots: Collection[str]) -> Holdings:
        """Without what the configuration does not name any more: the document is bounded."""
        return Holdings(
            {name: held for name, held in self.groups.items() if name in groups},
            {name: status for name, status in self.slots.items() if name in slots},
        )

    def with_group(self, bootname: str, content: Content) -> Holdings:
        """With other facts about a group; the same when only the time differs."""
        if replace(self.group(bootname), changed=content.changed) == content:
            return self
        return replace(self, groups={**self.groups, bootname: content})

    def with_slots(self, changes: Mapping[str, SlotStatus]) -> Holdings:
        """With other facts about some slots."""
        return replace(self, slots={**self.slots, **changes}) if changes else self

    def to_json(self) -> dict[str, object]:
        """Plain values for the store; what is empty is left out."""
        return {
            "schema": SCHEMA,
            "groups": {name: asdict(content) for name, content in self.groups.items()},
            "slots": {
                name: {_key(key): value for key, value in asdict(status).items() if value}
                for name, status in self.slots.items()
            },
        }


def from_json(values: Mapping[str, object]) -> Holdings:
    """Reads what ``to_json`` wrote, or an older version of it. What a newer agent in the other slot has added is ignored.

    Raises:
        EnvironmentFault: ``state.unreadable``: another schema, or a value that is not what it must be.
    """
    schema = values.get("schema")
    groups: Mapping[str, object]
    slots: Mapping[str, object]
    if schema is None:
        groups, slots = values, {}
    elif schema == SCHEMA and not isinstance(schema, bool):
        groups, slots = _table(values.get("groups"), "groups"), _table(values.get("slots"), "slots")
    else:
        raise _unreadable(f"schema {schema!r:.20}, expected {SCHEMA}")
    return Holdings(
        {name: _typed(Content, name, entry) for name, entry in groups.items()},
        {name: _status(name, entry) for name, entry in slots.items()},
    )


def _status(name: str, entry: object) -> SlotStatus:
    found = _typed(SlotStatus, name, entry)
    if found.status not in _STATUS:
        raise _unreadable(f"the status of {name} is {found.status!r:.20}")
    return found


def _table(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or len(value) > MAX_SLOTS:
        raise _unreadable(f"{name} is no table of at most {MAX_SLOTS} entries")
    return value


def _typed(kind: type[_T], name: str, entry: object) -> _T:
    if not isinstance(entry, dict):
        raise _unreadable(f"what is known of {name:.40} is no table")
    found: dict[str, object] = {}
    for attribute, key, default in _FIELDS[kind]:
        value = entry.get(key, default)
        if type(value) is not type(default):
            raise _unreadable(f"{key} of {name:.40} is no {type(default).__name__}")
        if (isinstance(value, str) and len(value) > MAX_TEXT) or (
            isinstance(value, int) and not 0 <= value < _MAX_NUMBER
        ):
            raise _unreadable(f"{key} of {name:.40} is out of bounds")
        found[attribute] = value
    return kind(**found)


def _key(name: str) -> str:
    return name.replace("_", ".", 1)


def printable(text: str) -> str:
    """The text with a question mark for each character that a terminal or D-Bus may not carry."""
    return "".join(char if char.isprintable() else "?" for char in text)


# Of each field its name, its key in the document, and its default.
_FIELDS: Mapping[type, tuple[tuple[str, str, object], ...]] = {
    Content: tuple((item.name, item.name, item.default) for item in fields(Content)),
    SlotStatus: tuple((item.name, _key(item.name), item.default) for item in fields(SlotStatus)),
}


def _unreadable(details: str) -> EnvironmentFault:
    return EnvironmentFault("state.unreadable", "the state document slots cannot be read", details=details)
