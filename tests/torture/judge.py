"""The promises, held against what a power cut left on the drives. Pure.

1. A copy of the boot environment is valid.
2. Whatever the boot script would start, if every boot failed from now on, is whole: an image that was verified, or what was
   there before the update.
3. The documents of the agent can be read, and the audit log is in order.
4. The server has not been told of a success that is not on the medium.
5. Order, attempts and the marker of a trial change together: what is on trial is the first choice.
6. The version floor is not raised before the new system has proved itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torture.environment import Environment, confirmed
from torture.story import Story, Told

_ORDER = ("BOOT_ORDER", "ORDER")


@dataclass(frozen=True, slots=True)
class Documents:
    """What the state directory holds.

    Attributes:
        values: the documents that can be read, by name.
        damaged: why others, or all, cannot be read.
    """

    values: Mapping[str, Mapping[str, object]]
    damaged: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The state in the daemon's record; one that has no record yet is idle."""
        return str(self.values.get("record", {}).get("state", "idle"))


@dataclass(frozen=True, slots=True)
class Found:
    """What is on the drives. ``slots``: by boot name, what the slot holds; empty for what is half-written."""

    environment: Environment
    slots: Mapping[str, str]
    documents: Documents

    @property
    def situation(self) -> str:
        """Environment and slots as one text: where it is the same, the bootloader does the same."""
        variables = self.environment.variables or {}
        shown = " ".join(f"{name}={value}" for name, value in sorted(variables.items()) if _ours(name))
        held = " ".join(f"{name}:{what or 'half-written'}" for name, what in sorted(self.slots.items()))
        return f"{shown} | {''.join('01'[valid] for valid in self.environment.valid)} | {held}"


def problems(found: Found, story: Story, told: Told, *, before: bool = False) -> list[str]:
    """Which promises are broken.

    Args:
        found: what is on the drives.
        story: where everything lies.
        told: what the server knows.
        before: the new system has proved itself before, and power cuts may have made the bootloader leave it since.
    """
    broken = [*found.documents.damaged]
    variables = found.environment.variables
    if variables is None:
        return [*broken, "no copy of the environment is valid"]
    started = found.environment.picks
    if not started:
        broken.append("the boot script finds no slot")
    broken += [
        f"slot {name} would be booted, but is half-written" for name in sorted(set(started)) if not found.slots[name]
    ]
    proved = before or proven(found, story)
    if told.status == "FINISHED" and not proved:
        broken.append("the server was told of a success that is not on the medium")
    trial, order = (
        variables.get("OTA_TRIAL", "").partition(",")[0],
        variables.get(_ORDER[story.format == "grub"], "").split(),
    )
    if trial and order[:1] != [trial]:
        broken.append("something is on trial that is not the choice")
    if story.floor and found.documents.values.get("facts", {}).get("floor") == story.floor and not proved:
        broken.append("the floor was raised before the new system had proved itself")
    return broken


def proven(found: Found, story: Story) -> bool:
    """Whether the new system is whole, the choice, and no longer on trial."""
    return found.slots[story.new] == "new" and confirmed(story.format, found.environment.variables or {}, story.new)


def _ours(name: str) -> bool:
    return name in ("BOOT_ORDER", "ORDER", "OTA_TRIAL") or name.endswith(("_LEFT", "_OK", "_TRY"))
