"""Our slots as RAUC's ``GetSlotStatus`` tells them: the same keys with the same types. Pure.

Our keys are RAUC's already (``agent.daemon.slot_status``), as texts; what differs is what they are on D-Bus. The shapes are
those of ``convert_slot_status_to_dict`` in RAUC's ``src/service.c``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

Slots = Mapping[str, Mapping[str, str]]
Typed = tuple[str, object]
"""A signature, and a value that has it."""

_TEXTS = (
    "class", "type", "description", "parent", "mountpoint", "boot-status", "bundle.compatible", "bundle.version",
    "bundle.description", "bundle.build", "bundle.hash", "status",
)  # fmt: skip
_BY_LABEL = "partlabel:"


def slot_status(slots: Slots) -> list[tuple[str, dict[str, Typed]]]:
    """Every slot with what is known of it, in the order of their names.

    Args:
        slots: the property ``Slots`` of the agent.
    """
    return [(name, _slot(slots[name])) for name in sorted(slots)]


def booted(slots: Slots) -> str:
    """The name of the root slot that runs; empty when none does."""
    return next((name for name, facts in slots.items() if is_root(facts) and facts.get("state") == "booted"), "")


def root_of(slots: Slots, bootname: str) -> str:
    """The name of the root slot with a boot name; empty when there is none."""
    return next((name for name, facts in slots.items() if is_root(facts) and facts.get("bootname") == bootname), "")


def is_root(facts: Mapping[str, str]) -> bool:
    """Whether the bootloader knows the slot: it has a boot name and belongs to no other slot."""
    return bool(facts.get("bootname")) and not facts.get("parent")


def _slot(facts: Mapping[str, str]) -> dict[str, Typed]:
    found: dict[str, Typed] = {key: ("s", facts[key]) for key in _TEXTS if facts.get(key)}
    if words := facts.get("installed.transaction", ""):  # ours; behind it the name that the caller gave it
        found["installed.transaction"] = ("s", words.split(" ", 2)[2] if words.count(" ") > 1 else words)
    found["device"] = ("s", _path(facts.get("device", "")))
    found["state"] = ("s", _state(facts))
    if is_root(facts):
        found["bootname"] = ("s", facts["bootname"])
    else:
        found.pop("boot-status", None)
    if facts.get("sha256"):
        found["sha256"] = ("s", facts["sha256"])
        found["size"] = ("t", _number(facts, "size"))
    for event in ("installed", "activated"):
        if when := _number(facts, f"{event}.timestamp"):
            found[f"{event}.timestamp"] = ("s", _moment(when))
            found[f"{event}.count"] = ("u", min(_number(facts, f"{event}.count"), 0xFFFFFFFF))
    return found


def _state(facts: Mapping[str, str]) -> str:
    """RAUC tells the slot that was booted from those that are used with it; one that belongs to all is neither."""
    if facts.get("state") != "booted":
        return "inactive"
    if is_root(facts):
        return "booted"
    return "active" if facts.get("parent") else "inactive"


def _path(device: str) -> str:
    """RAUC knows devices by path only."""
    return f"/dev/disk/by-partlabel/{device.removeprefix(_BY_LABEL)}" if device.startswith(_BY_LABEL) else device


def _number(facts: Mapping[str, str], key: str) -> int:
    text = facts.get(key, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # later than the year 9999
        return "9999-12-31T23:59:59Z"
