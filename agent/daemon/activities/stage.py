"""INSPECTING: may it be installed, and does it fit? STAGING: write it. STAGED: the last look before the switch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.daemon.activities import holdings
from agent.daemon.activities.watch import Watch
from agent.daemon.activities.work import described, work
from agent.daemon.context import Context
from agent.daemon.machine import Event
from agent.daemon.policy import Device as DeviceFacts
from agent.daemon.policy import Offer, check, highest
from agent.daemon.record import Record
from agent.daemon.runner import Step
from agent.errors import EnvironmentFault, PolicyError
from agent.hawkbit import feedback
from agent.wire import Frame
from slots.model import Group
from slots.select import target_group

_log = logging.getLogger(__name__)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def inspecting(context: Context, record: Record) -> Step:
    """The complete preflight: nothing has been touched when it refuses."""
    answer = work(context, record, {"op": "inspect"}, lambda frame: _progress(context, frame))
    if answer.op != "inspected":
        raise EnvironmentFault("ipc.protocol", "the installer answered something else", details=answer.op[:60])
    if answer.text("restriction"):
        _log.info("installer: %s", answer.text("restriction"))
    for warning in _warnings(answer):
        _log.warning("bundle: %s", warning)
    offer = Offer(answer.text("compatible"), answer.text("version"), answer.text("manifest_hash"))
    check(offer, _facts(context), own_check=answer.header.get("install_check") is True)
    chosen = target_group(context.device.groups, context.device.booted)
    if answer.header.get("handler") is not True:  # a handler knows for itself what goes where
        _fits(chosen.group, answer, _booted_devices(context))
    if answer.header.get("programs") is True:
        # Last, so that nothing of a bundle runs that is refused for another reason, such as being too old.
        asked = {"op": "check", "manifest_hash": offer.manifest_hash}
        work(context, record, asked, lambda frame: _progress(context, frame))
    _log.info(
        "bundle %s by %s goes to slot %s: %s",
        offer.version,
        answer.text("signer"),
        chosen.group.bootname,
        chosen.reason,
    )
    record = replace(
        record,
        version=offer.version,
        manifest_hash=offer.manifest_hash,
        bundle_format=answer.text("format"),
        signed_at=answer.number("signed_at"),
        min_version=_min_version(answer),
        classes=_classes(answer),
        target=chosen.group.bootname,
        fallback=context.device.booted.bootname,
    )
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
    progressed = record

    def hear(frame: Frame) -> None:
        nonlocal progressed
        if frame.op != "checkpoint":
            _progress(context, frame)
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
    if context.server is not None and record.origin == "server":
        context.server.say(
            feedback.proceeding(record.action_id, f"writing version {record.version} to slot {group.bootname}")
        )
    answer = work(context, record, request, hear)
    if answer.op != "installed":
        raise EnvironmentFault("ipc.protocol", "the installer answered something else", details=answer.op[:60])
    written, skipped, seconds = answer.number("written"), answer.number("skipped", 0), _seconds(answer)
    _log.info(
        "slot %s holds %s: %s written, %s were there already, in %.1f s (%s/s)", group.bootname, record.version,
        _amount(written), _amount(skipped), seconds, _amount(int((written + skipped) / seconds) if seconds else 0),
    )  # fmt: skip
    _tell_changes(answer)
    holdings.written(context, record, answer)
    return Step(Event.DONE, progressed)


def staged(context: Context, record: Record) -> Step:
    """Asks the server once more; from here on there is no way back but through the new system or its failure."""
    Watch(context, record).look()
    if record.origin == "server" and context.server is not None:
        message = f"version {record.version} is in slot {record.target} and was read back; restarting into it"
        context.server.say(feedback.proceeding(record.action_id, message))
        Watch(context, record).ask()
    holdings.settled(context, record, "installed")
    return Step(Event.DONE, record)


def _booted_devices(context: Context) -> list[str]:
    return [slot.device for slot in context.device.booted.own]


def _warnings(answer: Frame) -> list[str]:
    found = answer.header.get("warnings")
    return [str(each)[:300] for each in found[:8]] if isinstance(found, list) else []


def _facts(context: Context) -> DeviceFacts:
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
        preflight(slot, kind, image.number("size"), name=image.text("filename"), booted=booted, own=own)


def _classes(answer: Frame) -> str:
    images = answer.header.get("images")
    found = (
        [Frame(each).text("class", "") for each in images if isinstance(each, dict)] if isinstance(images, list) else []
    )
    return " ".join(dict.fromkeys(found))


def _min_version(answer: Frame) -> str:
    meta = answer.header.get("meta")
    section = meta.get("cra") if isinstance(meta, dict) else None
    value = section.get("min-version", "") if isinstance(section, dict) else ""
    return str(value)[:200]


def _tell_changes(answer: Frame) -> None:
    """A slot that a program of the bundle has changed no longer holds the bytes whose digest was signed."""
    results = answer.header.get("results")
    for entry in results if isinstance(results, list) else ():
        result = Frame(entry if isinstance(entry, dict) else {})
        if result.text("changed_by", ""):
            _log.info(
                "slot %s was changed by a program of the bundle: %s", result.text("slot"), result.text("changed_by")
            )


def _progress(context: Context, frame: Frame) -> None:
    if frame.op == "said":
        _log.info("bundle's program: %s", frame.text("text")[:500])
        if frame.text("progress", ""):
            context.tell({"Progress": (0.0, frame.text("progress")[:500], 0)})
        return
    done, total = frame.number("bytes"), max(1, frame.number("of"))
    words: Mapping[str, str] = {"fetched": "fetching", "written": "writing", "checked": "reading back"}
    text = f"{words.get(frame.text('stage'), 'working')} {_amount(done)} of {_amount(total)}"
    context.tell({"Progress": (done / total, text, done)})


def _seconds(answer: Frame) -> float:
    seconds = answer.header.get("seconds", 0.0)
    return seconds if isinstance(seconds, float) else 0.0


def _amount(size: int) -> str:
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"
