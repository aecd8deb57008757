"""INSPECTING: may it be installed, and does it fit? STAGING: write it. STAGED: the last look before the switch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from agent.consent.facts import bounded
from agent.consent.rules import Stride
from agent.daemon.activities import holdings, telling
from agent.daemon.activities.pause import Interrupted, Pause
from agent.daemon.activities.permit import allowed, before
from agent.daemon.activities.present import runs_already
from agent.daemon.activities.telling import amount
from agent.daemon.activities.watch import Watch
from agent.daemon.activities.work import described, remove_spools, spool, work
from agent.daemon.audited import note_passed, note_trust
from agent.daemon.context import Context
from agent.daemon.machine import Event
from agent.daemon.policy import Device as DeviceFacts
from agent.daemon.policy import Offer, check, highest
from agent.daemon.record import Record
from agent.daemon.runner import Step
from agent.daemon.terms import require_demanded
from agent.errors import BundleError, EnvironmentFault, OtaError, PolicyError, from_explained
from agent.hawkbit.phases import QUARTERS, Phase, switching_text
from agent.wire import Frame
from slots.errors import SlotError
from slots.model import Group
from slots.select import target_group

_log = logging.getLogger(__name__)
_BETWEEN_QUARTERS = 30.0  # seconds


def inspecting(context: Context, record: Record, *, healthy: bool = False) -> Step:
    """The complete preflight: nothing has been touched when it refuses.

    Args:
        context: the collaborators.
        record: of the update.
        healthy: the running system has passed its checks in this boot.
    """
    if (
        record.origin == "server"
    ):  # a bundle that was only downloaded must not take the room of the one that is installed
        state_dir = context.config.system.state_dir
        remove_spools(state_dir, spool(state_dir, record))
    note_trust(context.audit, context.config)
    whole = not context.desk.holds(record, Stride.DOWNLOAD)
    try:
        answer = work(
            context,
            record,
            {"op": "inspect", "whole": whole, "booted": _booted_devices(context), "slots": _target_slots(context)},
            lambda frame: telling.progress(context, frame),
        )
    except OtaError as error:
        if error.code != "consent.download-first":
            raise
        return Step(Event.HELD, replace(record, bundle_format="plain"))
    if answer.op != "inspected":
        raise EnvironmentFault("ipc.protocol", "the installer answered something else", details=answer.op[:60])
    if answer.text("restriction"):
        _log.info("installer: %s", answer.text("restriction"))
    for warning in _warnings(answer):
        _log.warning("bundle: %s", warning)
    offer = Offer(answer.text("compatible"), answer.text("version"), answer.text("manifest_hash"))
    if record.origin == "media" and offer.manifest_hash != record.manifest_hash:  # what was chosen, or approved
        raise BundleError(
            "bundle.changed", "the bundle is not the one that was inspected", details=f"{record.url}: {offer.version}",
            resolution="plug the medium in again; if this repeats, use another one",
        )  # fmt: skip
    require_demanded(record.demanded, offer.manifest_hash)
    record = replace(record, version=offer.version, manifest_hash=offer.manifest_hash)
    record = _as_announced(context, record)
    if healthy and runs_already(context, record):
        _log.info("version %s of action %s runs already, and is confirmed", record.version, record.action_id)
        return Step(Event.PRESENT, replace(record, target=context.device.booted.bootname, outcome="success"))
    check(offer, device_facts(context), own_check=answer.header.get("install_check") is True)
    chosen = target_group(context.device.groups, context.device.booted)
    if answer.header.get("handler") is not True:  # a handler knows for itself what goes where
        _fits(chosen.group, answer, _booted_devices(context))
    if answer.header.get("programs") is True:
        # Last, so that nothing of a bundle runs that is refused for another reason, such as being too old.
        asked = {"op": "check", "manifest_hash": offer.manifest_hash}
        work(context, record, asked, lambda frame: telling.progress(context, frame))
    _log.info(
        "bundle %s by %s goes to slot %s: %s",
        offer.version,
        answer.text("signer"),
        chosen.group.bootname,
        chosen.reason,
    )
    record = replace(
        record,
        bundle_format=answer.text("format"),
        signed_at=answer.number("signed_at"),
        min_version=_min_version(answer),
        facts=_facts_about(answer),
        classes=_classes(answer),
        target=chosen.group.bootname,
        fallback=context.device.booted.bootname,
    )
    note_passed(context.audit, record, answer)
    return Step(Event.DONE, record)


def staging(context: Context, record: Record) -> Step:
    """Writes the verified images into the inactive slot, going on from the last checkpoint, and reads them back."""
    group = context.device.group(record.target)
    if group == context.device.booted:
        raise PolicyError("slot.booted", "the recorded target slot is the one that runs", details=group.bootname)
    held = context.knowledge.content(group.bootname)
    if held.state != "pending" or held.manifest_hash != record.manifest_hash:
        record = replace(record, checkpoints={}, furthest=0)  # the slot holds something else: nothing of it can be kept
        context.memory.save(record)
    # Until it is complete the slot must not boot, not even when the running one has used up its attempts.
    context.device.env.revert(group.bootname, context.device.booted.bootname)
    holdings.began(context, record)
    text = f"writing version {record.version} to slot {group.bootname}"
    progressed = telling.phase(context, record, max(Phase.WRITING, _told(record)), text)
    if progressed is not record:  # it may begin many times before the first checkpoint
        context.memory.save(progressed)
    quarters = Quarters(context)

    def hear(frame: Frame) -> None:
        nonlocal progressed
        if frame.op != "checkpoint":
            telling.progress(context, frame)
            progressed = quarters.look(frame, progressed)
            return
        offsets = {**progressed.checkpoints, frame.text("image"): frame.number("offset")}
        progressed = replace(progressed, checkpoints=offsets)
        if (done := sum(offsets.values())) > progressed.furthest:
            # Getting on is what patience is for; writing once more what a bad medium has lost is not getting on.
            progressed = replace(progressed, attempts=1, furthest=done)
        context.memory.save(progressed)

    request = {
        "op": "install",
        "manifest_hash": record.manifest_hash,
        "booted": _booted_devices(context),
        "starts": dict(record.checkpoints),
        "slots": [described(slot) for slot in group.slots],
    }
    pause = Pause(context, Stride.INSTALL)
    try:
        answer = work(context, record, request, hear, lambda: pause.look(progressed))
    except Interrupted as order:
        _log.info("the writing is interrupted: %s", order)
        return Step(Event.HELD, progressed)
    if answer.op != "installed":
        raise EnvironmentFault("ipc.protocol", "the installer answered something else", details=answer.op[:60])
    written, skipped, seconds = answer.number("written"), answer.number("skipped", 0), _seconds(answer)
    _log.info(
        "slot %s holds %s: %s written, %s were there already, in %.1f s (%s/s)", group.bootname, record.version,
        amount(written), amount(skipped), seconds, amount(int((written + skipped) / seconds) if seconds else 0),
    )  # fmt: skip
    _tell_changes(answer)
    holdings.written(context, record, answer)
    return Step(Event.DONE, progressed)


def staged(context: Context, record: Record) -> Step:
    """Asks the server once more; from here on there is no way back but through the new system or its failure.

    A maintenance window that has closed while the slot was written is waited for once more: the restart is what disturbs.
    """
    while True:
        record = allowed(context, record, lambda now: before(context, now, Stride.RESTART))
        if record.origin != "server" or context.server is None:
            break
        text = switching_text(record.version, record.target, record.manifest_hash)
        record = telling.phase(context, record, Phase.SWITCHING, text)
        Watch(context, record).ask()
        context.inbox.take_check()  # that was one
        if not context.inbox.spoken_to():  # while the server was asked
            break
    holdings.settled(context, record, "installed")
    return Step(Event.DONE, record)


class Quarters:
    """Tells the server how far a long writing is: at each quarter, and not before some time has passed.

    Args:
        context: the collaborators.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._next = context.clock.boottime() + _BETWEEN_QUARTERS

    def look(self, frame: Frame, record: Record) -> Record:
        """Returns the record, which knows what was told when something was."""
        if frame.op != "progress" or frame.text("stage") != "written":
            return record
        now, total = self._context.clock.boottime(), frame.number("of")
        quarter = min(QUARTERS, frame.number("bytes") * 4 // total) if total else 0
        if now < self._next or not quarter or Phase.WRITING + quarter <= _told(record):
            return record
        self._next = now + _BETWEEN_QUARTERS
        return telling.phase(self._context, record, Phase.WRITING + quarter, f"{quarter * 25} % are written")


def _told(record: Record) -> int:
    """The number of the last phase, if it was one of the writing."""
    return record.told if Phase.WRITING <= record.told <= Phase.WRITING + QUARTERS else 0


def _as_announced(context: Context, record: Record) -> Record:
    """Compares the signed version with what the server says: advice, unless the server's metadata demands it.

    Raises:
        PolicyError: ``ddi.metadata-mismatch``.
    """
    if record.expected and record.expected != record.version:
        raise PolicyError(
            "ddi.metadata-mismatch", "the bundle is not the version that the server's metadata demands",
            details=f"demanded is {record.expected!r}, the bundle is {record.version!r}",
            resolution="upload the right bundle, or correct the metadata of the software module",
        )  # fmt: skip
    if not record.announced or record.announced == record.version:
        return record
    text = f"the server calls it version {record.announced}, its signed manifest says {record.version}"
    _log.warning("%s", text)
    return telling.phase(context, record, Phase.RENAMED, text)


def _target_slots(context: Context) -> list[dict[str, object]]:
    """The slots of the target group for the installer, which may know more against them; none if there is no target."""
    try:
        group = target_group(context.device.groups, context.device.booted).group
    except SlotError:  # told later, when the bundle is known to be acceptable
        return []
    return [described(slot) for slot in group.slots]


def _booted_devices(context: Context) -> list[str]:
    return [slot.device for slot in context.device.booted.own]


def _warnings(answer: Frame) -> list[str]:
    found = answer.header.get("warnings")
    return [str(each)[:300] for each in found[:8]] if isinstance(found, list) else []


def device_facts(context: Context) -> DeviceFacts:
    """What the policy needs to know of this device."""
    held = context.knowledge.content(context.device.booted.bootname)
    return DeviceFacts(
        compatible=context.device.compatible,
        version=context.running_version(),
        manifest_hash=held.manifest_hash,
        floor=highest(context.config.update.min_version, context.knowledge.floor()),
        allow_downgrade=context.config.update.allow_downgrade,
    )


def _fits(group: Group, answer: Frame, booted: Sequence[str]) -> None:
    """Every image has a slot of its class in the target group, which takes it.

    Raises:
        PolicyError: ``bundle.no-slot``, ``bundle.no-image``.
        SlotError: what the handler of the slot refuses.
    """
    from slots.handlers.preflight import preflight  # and what it loads: needed only when there is an update

    images = answer.header.get("images")
    slots = {slot.slot_class: slot for slot in group.slots}
    if not isinstance(images, list) or not images:
        raise PolicyError("bundle.no-image", "the bundle holds no image", resolution="add an [image.CLASS] section")
    for entry in images:
        image = Frame(entry if isinstance(entry, dict) else {})
        slot = slots.get(image.text("class"))
        if slot is None:
            raise PolicyError(
                "bundle.no-slot", "the bundle has an image for a slot that this device does not have",
                details=f"class {image.text('class')!r}; slot group {group.bootname} has {', '.join(sorted(slots))}",
                resolution="deploy a bundle built for this device's slots",
            )  # fmt: skip
        own = image.header.get("own") is True
        kind = "" if own else image.text("type")
        try:
            preflight(slot, kind, image.number("size"), name=image.text("filename"), booted=booted, own=own)
        except SlotError as error:
            if error.code != "slot.mount-forbidden":  # in a sandbox only the installer may mount, and it has tried
                raise
    unfit = answer.header.get("unfit")
    if isinstance(unfit, dict):
        raise from_explained(unfit)


def _classes(answer: Frame) -> str:
    images = answer.header.get("images")
    found = (
        [Frame(each).text("class", "") for each in images if isinstance(each, dict)] if isinstance(images, list) else []
    )
    return " ".join(dict.fromkeys(found))


def _min_version(answer: Frame) -> str:
    section = _cra(answer)
    value = section.get("min-version", "") if isinstance(section, dict) else ""
    return str(value)[:200]


def _facts_about(answer: Frame) -> dict[str, str]:
    return bounded(_cra(answer))


def _cra(answer: Frame) -> object:
    meta = answer.header.get("meta")
    return meta.get("cra") if isinstance(meta, dict) else None


def _tell_changes(answer: Frame) -> None:
    """A slot that a program of the bundle has changed no longer holds the bytes whose digest was signed."""
    results = answer.header.get("results")
    for entry in results if isinstance(results, list) else ():
        result = Frame(entry if isinstance(entry, dict) else {})
        if result.text("changed_by", ""):
            _log.info(
                "slot %s was changed by a program of the bundle: %s", result.text("slot"), result.text("changed_by")
            )


def _seconds(answer: Frame) -> float:
    seconds = answer.header.get("seconds", 0.0)
    return seconds if isinstance(seconds, float) else 0.0
