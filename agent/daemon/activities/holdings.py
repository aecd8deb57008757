"""What the activities note about the content of slots, each in one durable write."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.daemon.context import Context
from agent.daemon.device import Device
from agent.daemon.knowledge import Knowledge
from agent.daemon.record import Record
from agent.daemon.slot_status import MAX_TEXT, Content, Holdings, SlotStatus
from agent.errors import EnvironmentFault
from agent.wire import Frame
from slots.errors import SlotError
from slots.model import Slot
from slots.mount_mode import written_to

_log = logging.getLogger(__name__)
BYTEWISE = ("raw", "ext4", "vfat")  # types of slots that hold an image byte by byte


def began(context: Context, record: Record) -> None:
    """Before the first byte: what the target slots held is gone, and what they shall hold is not there yet."""
    names = [slot.name for slot in _targets(context, record)]
    groups = context.device.groups
    known = [slot.name for group in groups for slot in group.slots]

    def change(now: Holdings) -> Holdings:
        now = now.only([group.bootname for group in groups], known)
        resumed = now.group(record.target).state == "pending"
        changed = {name: _pending(now.slot(name), record, context, resumed=resumed) for name in names}
        return now.with_group(record.target, _content(context, record, "pending")).with_slots(changed)

    context.knowledge.change_holdings(change)


def written(context: Context, record: Record, answer: Frame) -> None:
    """All of it was read back."""
    results, files = _results(answer), Frame(_table(answer, "files"))
    bundle, when = Frame(_table(answer, "bundle")), int(context.clock.wall())
    slots = {slot.name: slot for slot in _group(context, record)}

    def change(now: Holdings) -> Holdings:
        changed = {}
        for result in results:
            slot = slots.get(result.text("slot"))
            if slot is None:
                continue
            filename = files.text(slot.slot_class, "")[:MAX_TEXT]
            old = now.slot(slot.name)
            changed[slot.name] = replace(
                old,
                status="ok",
                bundle_description=bundle.text("description", "")[:MAX_TEXT],
                bundle_build=bundle.text("build", "")[:MAX_TEXT],
                filename=filename,
                sha256=result.text("sha256", "")[:64],
                size=result.number("size", 0),
                changed=_changed(slot, result),
                installed_transaction=_transaction(record),
                installed_timestamp=when,
                installed_count=old.installed_count + 1,
            )
        return now.with_slots(changed)

    context.knowledge.change_holdings(change)


def settled(context: Context, record: Record, state: str) -> None:
    """The group as a whole is ``installed``, ``activated``, ``confirmed`` or ``bad``.

    The switch to a group is counted once, with the first of these that is noted after it. A system that turned out bad may
    have written to its slots before anybody could note that.
    """
    when = int(context.clock.wall())
    names = [slot.name for slot in _group(context, record)]

    def change(now: Holdings) -> Holdings:
        wanted = now.with_group(record.target, _content(context, record, state))
        if state in ("activated", "confirmed") and now.group(record.target).state not in ("activated", "confirmed"):
            known = {name: now.slot(name) for name in names if name in now.slots}
            counted = {
                name: replace(old, activated_timestamp=when, activated_count=old.activated_count + 1)
                for name, old in known.items()
            }
            wanted = wanted.with_slots(counted)
        if state == "bad":
            ran = {name: now.slot(name) for name in names if now.slot(name).comparable}
            wanted = wanted.with_slots({name: replace(old, changed="use") for name, old in ran.items()})
        return wanted

    context.knowledge.change_holdings(change)


def given_up(context: Context, record: Record) -> None:
    """The update has failed, or was cancelled: what is half-written stays so. That it ends matters more than this note."""
    names = [slot.name for slot in _group(context, record)]

    def change(now: Holdings) -> Holdings:
        half = {name: now.slot(name) for name in names if now.slot(name).status == "pending"}
        return now.with_slots({name: replace(old, status="failed") for name, old in half.items()})

    try:
        context.knowledge.change_holdings(change)
    except EnvironmentFault as error:
        _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})


def installed_by(knowledge: Knowledge, device: Device) -> str:
    """The id of the server's action whose confirmed system runs; empty when it is not known, or was no action's."""
    now = knowledge.holdings()
    held = now.group(device.booted.bootname)
    if held.state != "confirmed":
        return ""
    for slot in device.booted.slots:
        action_id, _, manifest_hash = now.slot(slot.name).installed_transaction.partition(" ")
        if manifest_hash == held.manifest_hash and action_id != "-":
            return action_id
    return ""


def note_use(context: Context) -> None:
    """A slot whose system may write to it no longer holds the bytes that were installed; not worth a failure."""
    try:
        now = context.knowledge.holdings()
        used = {
            slot.name: replace(now.slot(slot.name), changed="use")
            for slot in context.device.booted.slots
            if slot.type in BYTEWISE and now.slot(slot.name).comparable and written_to(slot.device)
        }
        if used:
            context.knowledge.change_holdings(lambda now: now.with_slots(used))
    except (EnvironmentFault, SlotError, OSError) as error:
        _log.warning("it was not noted which slots are written to: %s", error)


def _pending(old: SlotStatus, record: Record, context: Context, *, resumed: bool) -> SlotStatus:
    again = resumed and old.status == "ok" and old.bundle_hash == record.manifest_hash
    return replace(
        old,
        status="pending",
        bundle_compatible=context.device.compatible,
        bundle_version=record.version[:MAX_TEXT],
        bundle_description="",
        bundle_build="",
        bundle_hash=record.manifest_hash,
        filename="",
        sha256="",
        size=0,
        changed="",
        installed_transaction=_transaction(record),
        installed_count=old.installed_count - again,  # it was counted, and is done once more
        scrubbed_timestamp=0,
        scrubbed_result="",
    )


def _changed(slot: Slot, result: Frame) -> str:
    """Who has changed the slot since the image was read back, see ``SlotStatus``."""
    if result.text("changed_by", ""):
        return "hook"
    if slot.resize:
        return "resize"
    return "" if result.header.get("bytes") is True else "unpacked"


def _targets(context: Context, record: Record) -> Sequence[Slot]:
    classes = record.classes.split()
    return [slot for slot in _group(context, record) if slot.slot_class in classes or not classes]


def _group(context: Context, record: Record) -> Sequence[Slot]:
    """The slots of the target group; none when the configuration has changed meanwhile."""
    return next((group.slots for group in context.device.groups if group.bootname == record.target), ())


def _content(context: Context, record: Record, state: str) -> Content:
    return Content(state, record.version[:MAX_TEXT], record.manifest_hash, int(context.clock.wall()))


def _transaction(record: Record) -> str:
    """The action, the digest of the manifest, and how whoever asked for the installation calls it."""
    return f"{record.action_id or '-'} {record.manifest_hash} {record.transaction}".rstrip()[:MAX_TEXT]


def _results(answer: Frame) -> list[Frame]:
    found = answer.header.get("results")
    return [Frame(entry) for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _table(answer: Frame, name: str) -> Mapping[str, object]:
    found = answer.header.get(name)
    return found if isinstance(found, dict) else {}
