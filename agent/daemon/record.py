"""What the daemon remembers about the update under way, and nothing else.

The record is saved durably before the activity of its state starts. It is strict in both directions: what cannot be
read exactly is not guessed at (the store puts it aside and the boot environment's marker tells what was under way).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.daemon.machine import State
from agent.errors import EnvironmentFault

SCHEMA = 4
_MAX_TEXT = 4096
_MAX_FACTS = 64
_SINCE_3: Mapping[str, object] = {
    "window": "", "consent": "", "told": 0, "artifact": "", "announced": "", "expected": "", "switched": "",
}  # fmt: skip
_SINCE_4: Mapping[str, object] = {"demanded": "", "transaction": ""}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an update failed; the parts of an error (see ``agent.errors``)."""

    code: str
    brief: str
    details: str = ""
    resolution: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One update.

    ``boot_id`` and ``entered`` (seconds of CLOCK_BOOTTIME) tell in which boot, and when in it, the state was entered;
    ``attempts`` counts starts of its activity. ``target`` and ``fallback`` are boot names. ``checkpoints`` maps image
    file names to the bytes that are surely on the medium; ``furthest`` is the largest sum of them that there ever was.
    ``outcome`` is empty until the update has ended; ``vanished`` means that the server does not know the action any more.
    """

    state: State = State.IDLE
    origin: str = ""  # "server", "local" (a file) or "media" (a stick or a card)
    action_id: str = ""  # the server's
    href: str = ""  # link of the deployment document
    download: str = ""  # what the server allows: forced, attempt or skip
    update: str = ""  # the same for the installation
    window: str = ""  # the server's maintenance window: available, unavailable, or empty when there is none
    consent: str = ""  # "given" when somebody on the device has approved; "now": and does not want to wait
    told: int = 0  # the number of the last phase that the server was told of
    url: str = ""  # of the bundle; or the path of a local one, or on its medium
    name: str = ""  # file name as announced
    size: int = 0
    sha256: str = ""  # as announced by the server; advisory, the signature decides
    artifact: str = ""  # what tells the file from another one: its best announced digest
    announced: str = ""  # version of the software module on the server; advisory
    expected: str = ""  # version that the server's metadata demands; empty when it demands none
    demanded: str = ""  # the only manifest hash that may be installed; empty when any may
    transaction: str = ""  # how whoever asked for the installation calls it
    switched: str = (
        ""  # the manifest hash, its first 16 digits, that this action restarted into as the server remembers it
    )
    version: str = ""
    min_version: str = ""  # the floor that this bundle asks for, signed
    bundle_format: str = ""
    manifest_hash: str = ""
    signed_at: int = 0  # seconds since the epoch, from the signature
    facts: Mapping[str, str] = field(default_factory=dict)  # signed: see agent.consent.facts
    classes: str = ""  # of slots that the bundle has images for, with a space between them; empty: perhaps all
    target: str = ""
    fallback: str = ""
    boot_id: str = ""
    entered: float = 0.0
    attempts: int = 0
    checkpoints: Mapping[str, int] = field(default_factory=dict)
    furthest: int = 0
    outcome: str = ""  # "success", "failure", "cancelled", "vanished", "downloaded"
    reason: Reason | None = None

    def trial_marker(self) -> str:
        """The text kept in the boot environment while this update is on trial: enough to report without the record."""
        return f"{self.target},{self.action_id or '-'},{self.manifest_hash[:16]}"

    def to_json(self) -> dict[str, object]:
        """Plain values for the store."""
        values: dict[str, object] = {"schema": SCHEMA, **dataclasses.asdict(self)}
        values["state"] = self.state.value
        values["checkpoints"] = dict(self.checkpoints)
        values["facts"] = dict(self.facts)
        return values


def from_json(values: Mapping[str, object]) -> Record:
    """Reads what ``to_json`` wrote.

    Raises:
        EnvironmentFault: ``state.unreadable``: another schema, a missing or unknown key, or a value of another type.
    """
    values = _migrated(values)
    if values.get("schema") != SCHEMA or isinstance(values["schema"], bool):
        raise _unreadable(f"schema {values.get('schema')!r}, expected {SCHEMA}")
    known = {item.name for item in dataclasses.fields(Record)}
    strange = (set(values) - {"schema"}) ^ known
    if strange:
        raise _unreadable(f"unexpected or missing keys: {', '.join(sorted(strange))}")
    try:
        state = State(str(values["state"]))
    except ValueError:
        raise _unreadable(f"unknown state {values['state']!r}") from None
    parts: dict[str, object] = {}
    for item in dataclasses.fields(Record):
        value = values[item.name]
        if item.name == "state":
            parts[item.name] = state
        elif item.name == "checkpoints":
            parts[item.name] = _checkpoints(value)
        elif item.name == "facts":
            parts[item.name] = _facts(value)
        elif item.name == "reason":
            parts[item.name] = _reason(value)
        else:
            parts[item.name] = _plain(item.name, value, type(item.default))
    return Record(**parts)  # type: ignore[arg-type]  # each value was checked against its field above


def _migrated(values: Mapping[str, object]) -> Mapping[str, object]:
    """A record of an older agent: what it did not know yet, it did not need."""
    if values.get("schema") == 1 and not isinstance(values["schema"], bool):
        values = {"furthest": 0, "classes": "", **values, "schema": 2}
    if values.get("schema") == 2:
        waits = values.get("update") == "skip"  # for its window, or because it is to be fetched only: that is read anew
        handling = {"download": "forced" if waits else values.get("update"), "window": "unavailable" if waits else ""}
        file = values.get("sha256") or (f"{values.get('name')}:{values.get('size')}" if values.get("name") else "")
        values = {**_SINCE_3, **handling, "artifact": file, **values, "schema": 3, **({"href": ""} if waits else {})}
    if values.get("schema") == 3 and not isinstance(values["schema"], bool):
        asked = {"consent": "now"} if values.get("origin") == "local" else {}  # a person has handed over the file
        values = {"facts": {}, **_SINCE_4, **values, **asked, "schema": 4}
    return values


def _plain(name: str, value: object, kind: type) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (isinstance(value, str) and len(value) > _MAX_TEXT):
        raise _unreadable(f"{name} is {value!r:.60}, expected {kind.__name__}")
    if isinstance(value, int | float) and value < 0:
        raise _unreadable(f"{name} is negative")
    return value


def _checkpoints(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > 64:
        raise _unreadable("checkpoints is no table of at most 64 entries")
    return {str(key): int(str(_plain("checkpoints", offset, int))) for key, offset in value.items()}


def _facts(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MAX_FACTS:
        raise _unreadable(f"facts is no table of at most {_MAX_FACTS} entries")
    return {str(key): str(_plain("facts", text, str)) for key, text in value.items()}


def _reason(value: object) -> Reason | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {item.name for item in dataclasses.fields(Reason)}:
        raise _unreadable("reason is no explained error")
    return Reason(**{key: str(_plain(f"reason.{key}", text, str)) for key, text in value.items()})


def _unreadable(details: str) -> EnvironmentFault:
    return EnvironmentFault(
        "state.unreadable",
        "the record of the update cannot be read",
        details=details,
        resolution="the file was put aside; the boot environment tells whether an update was on trial",
    )
