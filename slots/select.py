"""Which group of slots an update goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slots.errors import SlotError
from slots.model import Group


@dataclass(frozen=True, slots=True)
class Choice:
    """A group, and why it was chosen: one sentence for the log."""

    group: Group
    reason: str


def target_group(groups: Sequence[Group], booted: Group) -> Choice:
    """Chooses the group to update: never the booted one, never the rescue system, never one with a read-only slot.

    The next one of the booted root slot's class is taken, in the order of the configuration, beginning again after the
    last: of three it is the one that was not written for longest. A lone group of another class is left alone; when that
    or the rescue system itself runs, the first group of a class that has several is taken. The choice depends on nothing
    else: the same device chooses the same.

    Raises:
        SlotError: ``slot.no-target``.
    """
    begin = next((index for index, group in enumerate(groups) if group.bootname == booted.bootname), -1) + 1
    others = [group for group in (*groups[begin:], *groups[:begin]) if group.bootname != booted.bootname]
    free = [group for group in others if not group.readonly and not group.rescue]
    own_class = booted.root.slot_class
    if any(group.root.slot_class == own_class for group in others):
        kin = [group for group in free if group.root.slot_class == own_class]
        if kin:
            return Choice(kin[0], f"{booted.bootname} is running and {_passed_over(others, kin[0])}")
    else:
        classes = [group.root.slot_class for group in groups]
        several = [group for group in groups if group in free and classes.count(group.root.slot_class) > 1]
        if several:
            slot_class = several[0].root.slot_class
            what = "the rescue system" if booted.rescue else f"the only one of class {own_class}"
            why = f"{booted.bootname} is running, {what}"
            return Choice(several[0], f"{why}, and {several[0].bootname} is the first of class {slot_class}")
    raise SlotError(
        "slot.no-target", "there is no slot that the update could go to",
        details=f"{booted.bootname} is running; " + "; ".join(_why_not(group) for group in others),
        resolution="configure a second writable slot of the class of the running one",
    )  # fmt: skip


def _passed_over(others: Sequence[Group], chosen: Group) -> str:
    kin = [group for group in others if group.root.slot_class == chosen.root.slot_class]
    if len(kin) == 1:
        return f"{chosen.bootname} is the only other one of class {chosen.root.slot_class}"
    before = [group.bootname for group in kin[: kin.index(chosen)]]
    skipped = f" after {', '.join(before)}, which must not be written to" if before else ""
    return f"{chosen.bootname} is the next one of class {chosen.root.slot_class}{skipped}"


def _why_not(group: Group) -> str:
    if group.rescue:
        return f"{group.bootname} is the rescue system"
    locked = ", ".join(slot.name for slot in group.own if slot.readonly)
    return (
        f"{group.bootname} has the read-only {locked}" if locked else f"{group.bootname} is a {group.root.slot_class}"
    )
