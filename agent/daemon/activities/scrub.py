"""A scrub: slots that do not run are read back past the cache and compared with what was installed.

The running slot is never read: its content is proven by running, and its digest ends with the first write to it. What is
found damaged must not boot, not even in need: it leaves the boot order in one write, with the running slot first, before
that is noted. While an update is on trial the boot environment is left alone, because its order is the way back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from agent.daemon.activities.holdings import BYTEWISE
from agent.daemon.children import Child
from agent.daemon.context import Context
from agent.daemon.device import Device
from agent.daemon.slot_status import Content, SlotStatus, printable
from agent.errors import ConfigError, EnvironmentFault, OtaError, PolicyError, explain, from_explained
from agent.wire import Frame
from bootloader_env.errors import BootEnvError
from slots.model import Group, Slot

_log = logging.getLogger(__name__)
_ANSWER = 60.0  # seconds for the rest of a message that has begun
_TICK = 0.5  # seconds between looks at the inbox
_SILENCE = 600.0  # seconds without a word: each MiB that was read is one
_ENDING = (
    120.0  # seconds to end a child that was silent for too long; one that cannot be killed is left to the watchdog
)
_READINGS = 2  # what one reading finds wrong may be a passing failure of the bus or the memory

OK, DAMAGED, UNKNOWN, FAILED, INTERRUPTED = "ok", "damaged", "unknown", "failed", "interrupted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: ``ok``, ``damaged``, ``unknown`` (nothing to compare with), ``failed`` or ``interrupted``."""

    slot: str
    result: str
    text: str


class _Interrupted(Exception):
    """Something more important was asked for."""


def targets(device: Device, asked: str) -> list[tuple[Group, Slot]]:
    """The slots that a request means: one slot, those of a boot name, or all that do not run.

    Raises:
        ConfigError: ``slot.unknown``.
        PolicyError: ``scrub.running``.
    """
    every = [(group, slot) for group in device.groups for slot in group.slots]
    meant = [(group, slot) for group, slot in every if asked in ("", slot.name, group.bootname)]
    if not meant:
        raise ConfigError(
            "slot.unknown", "the configuration has no such slot", details=asked[:80],
            resolution=f"name one of {', '.join(slot.name for _, slot in every)}, or a boot name",
        )  # fmt: skip
    idle = [(group, slot) for group, slot in meant if slot not in device.booted.slots]
    if not idle:
        raise PolicyError(
            "scrub.running", "a slot that is running cannot be scrubbed", details=asked[:80],
            resolution="scrub it when the other slot runs",
        )  # fmt: skip
    return idle


def scrub(context: Context, asked: str, number: int) -> None:
    """Reads back what was asked for; every end is told, and only Stopped is raised.

    Args:
        context: the collaborators.
        asked: see ``targets``.
        number: of this scrub, see the property ``LastScrub``.
    """
    verdicts: list[Verdict] = []
    try:
        for group, slot in targets(context.device, asked):
            try:
                verdict = _judged(context, group, slot)
            except _Interrupted:
                verdicts.append(Verdict(slot.name, INTERRUPTED, "something else was asked for; scrub it again later"))
                break
            except (OtaError, OSError) as error:
                verdict = Verdict(slot.name, FAILED, f"{error}")
            _log.log(
                logging.INFO if verdict.result in (OK, UNKNOWN) else logging.ERROR, "scrub of slot %s: %s: %s",
                verdict.slot, verdict.result, verdict.text, extra={"OTA_SLOT": group.bootname},
            )  # fmt: skip
            verdicts.append(verdict)
            context.audit.note("scrub", verdict.result, slot=verdict.slot, text=verdict.text)
    finally:
        context.inbox.take_cancel()  # one that came too late for the scrub must not end the next update
        context.tell({
            "LastScrub": (number, "done", [(each.slot, each.result, printable(each.text[:500])) for each in verdicts]),
            "Progress": (0.0, "", 0),
        })  # fmt: skip


def _judged(context: Context, group: Group, slot: Slot) -> Verdict:
    status = context.knowledge.holdings().slot(slot.name)
    if text := incomparable(slot, status):
        return Verdict(slot.name, UNKNOWN, text)
    found = ""
    for _ in range(_READINGS):
        found = _reading(context, slot, status)
        if not found:
            _note(context, group, slot, OK)
            return Verdict(slot.name, OK, f"holds {status.bundle_version or 'what was installed'}, as installed")
    left = _condemn(context, group)
    _note(context, group, slot, DAMAGED)
    context.tell({
        "LastError": ("slot.damaged", f"slot {slot.name} no longer holds what was installed", "install an update")
    })  # fmt: skip
    _log.error("slot %s is damaged: %s; %s", slot.name, found, left, extra={"OTA_ERROR_CODE": "slot.damaged"})
    return Verdict(slot.name, DAMAGED, f"{found}; {left}")


def incomparable(slot: Slot, status: SlotStatus) -> str:
    """Why nothing can be said about a slot; empty when it can be compared."""
    if slot.type not in BYTEWISE:
        return f"slots of type {slot.type} do not hold an image byte by byte"
    if status.comparable:
        return ""
    reasons = {
        "use": "its system may have written to it since it was installed",
        "hook": "a program of the bundle has changed it",
        "resize": "its file system was fitted to the slot",
        "unpacked": "an archive was unpacked into it",
    }
    if status.status in ("pending", "failed"):
        return "no complete image is in it"
    return reasons.get(status.changed, "it is not known what was installed in it")


def _reading(context: Context, slot: Slot, status: SlotStatus) -> str:
    """What is wrong with the slot; empty when nothing is."""
    with context.spawn("scrubber") as child:
        child.channel.send({"op": "scrub", "device": slot.device, "size": status.size})
        try:
            with context.inbox.patient(_SILENCE + _ENDING):
                digest = _digest(context, child, slot)
        except OtaError as error:
            if error.code != "slot.read-failed":
                raise
            return f"it cannot be read: {error.details}"
    if digest == status.sha256:
        return ""
    return f"its sha256 is {digest[:16]}..., installed was {status.sha256[:16]}..."


def _digest(context: Context, child: Child, slot: Slot) -> str:
    heard = context.clock.boottime()
    while True:
        if context.inbox.install_asked() or context.inbox.take_cancel():
            raise _Interrupted
        if child not in context.inbox.wait(_TICK, [child]):
            if context.clock.boottime() - heard > _SILENCE:
                raise EnvironmentFault("child.silent", "the scrubber does not get on", details=f"slot {slot.name}")
            continue
        heard = context.clock.boottime()
        frame = child.receive(_ANSWER)
        if frame.op == "error":
            parts = frame.header.get("error")
            raise from_explained(parts if isinstance(parts, dict) else {})
        if frame.op == "scrubbed":
            return frame.text("sha256")
        _progress(context, slot, frame)


def _progress(context: Context, slot: Slot, frame: Frame) -> None:
    done, total = frame.number("bytes"), max(1, frame.number("of"))
    context.tell({"Progress": (done / total, f"reading slot {slot.name} back", done)})


def _condemn(context: Context, group: Group) -> str:
    """Takes a group out of the boot order, if that may be done; says what became of it."""
    booted, env = context.device.booted.bootname, context.device.env
    try:
        state = env.read()
        if state.trial:
            return "it stays in the boot order while an update is on trial"
        # Somebody may have chosen a third slot for the next boot; that choice stays.
        first = state.primary if state.primary not in ("", group.bootname) else booted
        env.revert(group.bootname, first)
    except BootEnvError as error:
        parts = explain(error)
        _log.error("%s", error, extra={"OTA_ERROR_CODE": error.code})
        return f"it could not be taken out of the boot order: {parts['brief']} [{parts['code']}]"
    return f"{group.bootname} was taken out of the boot order"


def _note(context: Context, group: Group, slot: Slot, result: str) -> None:
    now = context.knowledge.holdings()
    old, when = now.slot(slot.name), int(context.clock.wall())
    status = "failed" if result == DAMAGED else old.status
    changed = {slot.name: replace(old, status=status, scrubbed_timestamp=when, scrubbed_result=result)}
    held = now.group(group.bootname)
    content = Content("bad", held.version, held.manifest_hash, when) if result == DAMAGED else held
    context.knowledge.change_holdings(lambda now: now.with_group(group.bootname, content).with_slots(changed))
