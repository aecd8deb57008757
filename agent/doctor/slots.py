"""Are the slots there, each by itself, free, equal, and do they hold what they should?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from agent.doctor.finding import Finding, error, failure, note, ok, warning
from agent.doctor.probe import LENGTH, kind_of
from agent.doctor.subject import Subject
from slots.device import capacity, resolve
from slots.errors import SlotError
from slots.handlers.table import handler_for, taken_by
from slots.model import BLOCK_TYPES, Slot
from slots.select import target_group
from slots.usage import Identity, in_use, relatives, write_protected

_NAMED_BY_CONTENT = re.compile(r"(?:^|\s)root=((?:UUID|LABEL)=\S+)")
_MAX_CMDLINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Found:
    slot: Slot
    path: str
    size: int
    identity: Identity


def devices(subject: Subject) -> Iterator[Finding]:
    """Everything about the devices as such."""
    found: list[_Found] = []
    for _, slot in subject.slots:
        if slot.type not in BLOCK_TYPES:
            yield _elsewhere(subject, slot)
            continue
        try:
            path = resolve(slot.device)
            size = capacity(path)
        except SlotError as problem:
            problem.details = f"{slot.name}, {slot.device}: {problem.details}"
            yield failure("slot.device", problem)
            continue
        yield ok("slot.device", f"{slot.name}: {path}, {size} bytes")
        identity = Identity.at(path)
        if identity is not None:
            found.append(_Found(slot, path, size, identity))
    yield from _distinct(subject, found)
    yield from _sizes(found)
    for each in found:
        yield from _content(subject, each)
        if subject.booted is not None and each.slot not in subject.booted.slots:
            yield from _free(subject, each)
            yield from _protected(subject, each)


def target(subject: Subject) -> Iterator[Finding]:
    """Where the next update would go."""
    if subject.booted is None:
        return
    try:
        choice = target_group(subject.groups, subject.booted)
    except SlotError as problem:
        yield failure("slot.target", problem)
    else:
        yield ok("slot.target", choice.reason)


def contents(subject: Subject) -> Iterator[Finding]:
    """What the agent knows of the slots that do not run."""
    idle = _is_idle(subject)
    for group, slot in subject.fallbacks:
        if group.rescue:
            continue  # it is as it left the factory
        status = subject.holdings.slot(slot.name)
        version = status.bundle_version or "a bundle without a version"
        if status.status == "failed":
            reason = "is damaged" if status.scrubbed_result == "damaged" else "holds no complete image"
            yield warning("slot.status", f"{slot.name} {reason}")
        elif status.status == "pending" and idle:
            yield warning("slot.status", f"{slot.name} is half-written, and no update is under way")
        elif status.status == "pending":
            yield note("slot.status", f"{slot.name} is being written")
        elif not status.status:
            yield note(
                "slot.status", f"it is not known what {slot.name} holds: no update was installed in it by the agent"
            )
        else:
            yield ok("slot.status", f"{slot.name} holds {version}, sha256 {status.sha256[:16] or 'unknown'}")


def root_argument(subject: Subject) -> Iterator[Finding]:
    """A file system's UUID or label comes with the image, so that both slots may have it."""
    with subject.config.system.cmdline.open("rb") as file:
        text = file.read(_MAX_CMDLINE).decode("utf-8", "replace")
    named = _NAMED_BY_CONTENT.search(text)
    if named:
        yield warning("slot.root-argument", f"root={named[1][:60]} names a file system, not a partition")
    else:
        yield ok("slot.root-argument", "the root file system is not named by what is in it")


def _elsewhere(subject: Subject, slot: Slot) -> Finding:
    """A slot on flash, or one that shares its disk: whoever writes to it knows what it must be."""
    kind = taken_by(slot.type)[0]
    running = subject.booted is not None and slot in subject.booted.own
    try:
        handler_for(slot.type, kind).preflight(replace(slot, readonly=False), kind, 1)  # it is looked at only
    except SlotError as problem:
        if running and problem.code == "slot.mounted":
            return ok("slot.device", f"{slot.name}: {slot.device} is running")
        problem.details = f"{slot.name}, {slot.device}: {problem.details}"
        return failure("slot.device", problem)
    return ok("slot.device", f"{slot.name}: {slot.device} takes images of type {kind}")


def _distinct(subject: Subject, found: list[_Found]) -> Iterator[Finding]:
    shared = [
        f"{one.slot.name} ({one.path}) and {other.slot.name} ({other.path})"
        for index, one in enumerate(found)
        for other in found[index + 1 :]
        if other.identity in {one.identity, *relatives(one.identity, str(subject.places.sysfs))}
    ]
    if shared:
        yield error("slot.distinct", f"they share storage: {'; '.join(shared)}")
    elif found:
        yield ok("slot.distinct", f"{len(found)} devices, none of which is another one's")


def _sizes(found: list[_Found]) -> Iterator[Finding]:
    for slot_class in dict.fromkeys(each.slot.slot_class for each in found):
        sizes = {each.slot.name: each.size for each in found if each.slot.slot_class == slot_class}
        text = ", ".join(f"{name} has {size} bytes" for name, size in sizes.items())
        if len(set(sizes.values())) > 1:
            yield warning("slot.size", text)
        else:
            yield ok("slot.size", text)


def _content(subject: Subject, each: _Found) -> Iterator[Finding]:
    slot = each.slot
    if slot.type == "raw" or subject.holdings.slot(slot.name).status in ("pending", "failed"):
        return
    with open(each.path, "rb") as file:
        kind = kind_of(file.read(LENGTH))
    if kind == slot.type:
        yield ok("slot.content", f"{slot.name} holds {kind}")
    elif kind == "blank":
        yield note("slot.content", f"{slot.name} is blank")
    else:
        yield warning("slot.content", f"{slot.name} should hold {slot.type}, but holds {kind or 'something else'}")


def _free(subject: Subject, each: _Found) -> Iterator[Finding]:
    user = in_use(each.identity, proc=str(subject.places.proc), sysfs=str(subject.places.sysfs))
    if user:
        yield error("slot.in-use", f"{each.slot.name}: {each.path}: {user}")
    else:
        yield ok("slot.in-use", f"nothing uses {each.slot.name}")


def _protected(subject: Subject, each: _Found) -> Iterator[Finding]:
    if each.slot.readonly and each.slot.rescue:
        yield ok("slot.protected", f"{each.slot.name} is the rescue system and is not written to")
    elif each.slot.readonly:
        yield note("slot.protected", f"{each.slot.name} is configured as read-only")
    elif write_protected(each.identity, str(subject.places.sysfs)) or not os.access(each.path, os.W_OK):
        yield error("slot.protected", f"{each.slot.name}: {each.path} is write-protected")
    else:
        yield ok("slot.protected", f"{each.slot.name} can be written")


def _is_idle(subject: Subject) -> bool:
    try:
        return subject.document("record").get("state") in (None, "idle")
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
