"""What ``Mark`` means: which slot somebody has in mind, and what is said when it was done. Pure; the words are RAUC's."""

from __future__ import annotations

from agent.errors import PolicyError
from agent.rauc.slot_status import Slots, booted, is_root

_DONE = {"good": "marked slot {} as good", "bad": "marked slot {} as bad", "active": "activated slot {}"}


def slot_meant(slots: Slots, identifier: str) -> str:
    """The root slot that is meant, as ``get_slot_by_identifier`` in RAUC's ``src/mark.c`` finds it.

    Args:
        slots: the property ``Slots`` of the agent.
        identifier: ``booted``, ``other``, or the name of a slot.

    Raises:
        PolicyError: ``rauc.slot-unknown``.
    """
    running = booted(slots)
    if identifier == "booted":
        if not running:
            raise _unknown("Did not find booted slot")
        return running
    if identifier == "other":
        if not running:
            raise _unknown("Did not find booted slot needed to find another bootable slot of the same class")
        others = [name for name in sorted(slots) if name != running and _same_class(slots, name, running)]
        if not others:
            raise _unknown("No other bootable slot of the same class found")
        return others[0]
    if identifier.count(".") != 1:
        raise _unknown(f"Invalid slot name format: '{identifier[:80]}'")
    if not is_root(slots.get(identifier, {})):
        raise _unknown(f"No slot with class {identifier.partition('.')[0][:80]} and name {identifier[:80]} found")
    return identifier


def done(state: str, slot: str) -> str:
    """What is said when it was done.

    Raises:
        PolicyError: ``rauc.mark-unknown``: RAUC knows no such state.
    """
    if state not in _DONE:
        raise PolicyError("rauc.mark-unknown", f"unknown subcommand {state[:80]}", resolution="good, bad or active")
    return _DONE[state].format(slot)


def _same_class(slots: Slots, name: str, running: str) -> bool:
    return is_root(slots[name]) and slots[name].get("class") == slots[running].get("class")


def _unknown(text: str) -> PolicyError:
    return PolicyError("rauc.slot-unknown", text, resolution="rauc status lists the slots")
