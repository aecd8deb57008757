"""From a verified bundle into the slots, and back again to see what the medium really holds."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.bundle.choice import choose_images
from agent.bundle.image_type import image_type
from agent.bundle.manifest import Image
from agent.bundle.verify import VerifiedBundle
from agent.errors import EnvironmentFault
from agent.installer.permission import Permission, slot_of
from agent.wire import Channel, Frame, WireError
from slots.device import open_target
from slots.handlers.port import Content, Switching, Telling
from slots.handlers.table import UNPACKED, handler_for
from slots.handlers.verdict import require_same
from slots.model import BLOCK_TYPES, Slot

if TYPE_CHECKING:  # what runs programs costs a MiB of memory, which an ordinary installation has no use for
    from agent.installer.hooks import Programs

_REPORT_EVERY = 0.25  # seconds
_MAX_SLOTS = 64
_BLOCK = 1024 * 1024  # bytes: the blocks of a squashfs are never larger, so one begins at every multiple


@dataclass(frozen=True, slots=True)
class Order:
    """One image into one slot, from a byte offset on that an earlier attempt has surely written.

    Only when it is ``resumable`` is ``start`` not 0, and are there checkpoints.
    """

    image: Image
    slot: Slot
    start: int
    resumable: bool


def install(
    bundle: VerifiedBundle, frame: Frame, channel: Channel, allowed: Permission | None = None
) -> dict[str, object]:
    """Writes every image of the plan and reads it back; programs of the bundle come before, instead of or after that.

    Args:
        bundle: only a verified one can be written; the type says so.
        frame: the daemon's ``install`` message with its ``plan``.
        channel: where progress and checkpoints go.
        allowed: the leave to run the bundle's programs, if it has any.

    Returns:
        ``written`` and ``skipped`` bytes, ``seconds``, ``read_back_seconds`` (what reading back took longer than writing), and
        for each slot the digest of its image, once the medium has proved to hold that; which program may have changed the
        slot after that; and whether the slot begins with the very bytes of the image.

    Raises:
        SlotError: whatever the handler of a slot refuses or fails with; ``slot.read-back`` when the medium holds something
            else than the manifest says.
    """
    work = _Work(bundle, channel, _booted(frame))
    started = time.monotonic()
    with ExitStack() as stack:
        if bundle.manifest.handler_filename and allowed is not None:
            handler = stack.enter_context(_ready(bundle, allowed, bundle.manifest.images, channel))
            work.handle(handler, _slots(frame).values())
        else:
            orders = _orders(bundle, frame)
            work.total = sum(order.image.size for order in orders)
            images = [order.image for order in orders if "install" in order.image.hooks]
            programs = stack.enter_context(_ready(bundle, allowed, images, channel)) if allowed else None
            for order in orders:
                work.fill(order, programs)
            work.switch()
    seconds = time.monotonic() - started
    return {
        "written": work.written, "skipped": work.skipped, "seconds": seconds, "read_back_seconds": work.reading,
        "results": work.results,
    }  # fmt: skip


def _ready(
    bundle: VerifiedBundle, allowed: Permission, images: Collection[Image], channel: Channel
) -> AbstractContextManager[Programs]:
    from agent.installer.hooks import ready

    return ready(bundle, allowed, images, channel)


class _Work:
    """One installation: what it has done so far."""

    def __init__(self, bundle: VerifiedBundle, channel: Channel, booted: Sequence[str]) -> None:
        self._bundle, self._channel, self._booted = bundle, channel, booted
        self.total = self.written = self.skipped = self._before = 0
        self.reading = 0.0
        self.results: list[dict[str, object]] = []
        self._switching: list[tuple[Switching, Slot]] = []

    def fill(self, order: Order, programs: Programs | None) -> None:
        """Puts one image into its slot, with the hooks that it asks for."""
        image, slot, hooks = order.image, order.slot, order.image.hooks
        if hooks and programs is None:
            raise RuntimeError("an image has hooks, but nobody has decided about them")
        digest, changed = "", ""
        if programs is not None and "install" in hooks:
            self._settle(slot, image.size)  # nothing may run on a slot that must not be written to
            programs.instead(image, slot)
            changed = "install"
        else:
            if programs is not None and "pre-install" in hooks:
                self._settle(slot, image.size)
                programs.around("slot-pre-install", image, slot, _variables(image, slot))
            digest = self._copy(order)
            if programs is not None and "post-install" in hooks:
                programs.around("slot-post-install", image, slot, _variables(image, slot))
                changed = "post-install"
        if changed:
            self._settle(slot, image.size)
        self._before += image.size
        self.results.append(
            {
                "slot": slot.name,
                "sha256": digest,
                "size": image.size,
                "changed_by": changed,
                "bytes": bool(digest) and not changed and _byte_by_byte(slot, image),
            }
        )

    def switch(self) -> None:
        """Lets the slots that choose between two places of their own choose the new one, when everything is in place."""
        for handler, slot in self._switching:
            handler.switch(slot)

    def handle(self, programs: Programs, targets: Collection[Slot]) -> None:
        """Leaves everything to the handler of the bundle."""
        for slot in targets:
            self._settle(slot, 0)
        programs.handle()
        for slot in targets:
            self._settle(slot, 0)
            self.results.append({"slot": slot.name, "sha256": "", "size": 0, "changed_by": "handler", "bytes": False})

    def _copy(self, order: Order) -> str:
        image, slot = order.image, order.slot
        content = _content(self._bundle, image)
        report = _Reporter(self._channel, self._before, self.total, image.filename, resumable=order.resumable)
        handler = handler_for(slot.type, content.kind)
        outcome = handler.install(slot, content, booted=self._booted, start=order.start, watch=report)
        if isinstance(handler, Switching):
            self._switching.append((handler, slot))
        require_same(slot, outcome, content)
        self.written += outcome.written
        self.skipped += outcome.skipped
        self.reading += outcome.read_back_seconds
        return outcome.digest

    def _settle(self, slot: Slot, size: int) -> None:
        """Makes sure that nobody uses the slot, that it may be written to, and that all of it is on the medium.

        Whoever works on flash or on a part of a disk has to answer for that himself: there is nothing to open.
        """
        if slot.type not in BLOCK_TYPES:
            return
        with open_target(slot, booted=self._booted, size=size) as target:
            try:
                os.fsync(target.fd)
            except OSError as error:
                raise EnvironmentFault(
                    "slot.write-failed", "the slot could not be written", details=f"{target.path}: {error}",
                    resolution="it is tried again; if this repeats, the storage is failing or full",
                ) from error  # fmt: skip


def _variables(image: Image, slot: Slot) -> Mapping[str, str]:
    handler = handler_for(slot.type, image_type(image))
    return handler.variables(slot) if isinstance(handler, Telling) else {}


def _content(bundle: VerifiedBundle, image: Image) -> Content:
    if not image.filename:
        return Content("", image_type(image), 0, "", lambda start: ())
    return Content(image.filename, image_type(image), image.size, image.sha256, bundle.image_file(image).blocks)


class _Reporter:
    def __init__(self, channel: Channel, before: int, total: int, filename: str, *, resumable: bool) -> None:
        self._channel, self._before, self._total, self._filename = channel, before, total, filename
        self._resumable, self._last = resumable, 0.0

    def wrote(self, done: int) -> None:
        self._send("written", done)

    def checked(self, done: int) -> None:
        self._send("checked", done)

    def checkpoint(self, offset: int) -> None:
        if self._resumable:
            self._channel.send({"op": "checkpoint", "image": self._filename, "offset": offset})

    def _send(self, stage: str, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= _REPORT_EVERY:
            self._last = now
            self._channel.send({"op": "progress", "stage": stage, "bytes": self._before + done, "of": self._total})


def _booted(frame: Frame) -> tuple[str, ...]:
    """The devices of the running group; without them the writer could not keep its hands off."""
    given = frame.header.get("booted")
    if not isinstance(given, list) or not 0 < len(given) <= _MAX_SLOTS:
        raise WireError("ipc.protocol", "the daemon did not say what is running")
    devices = tuple(device for device in given if isinstance(device, str) and device)
    if len(devices) != len(given):
        raise WireError("ipc.protocol", "the daemon named a running device that is no text")
    return devices


def _slots(frame: Frame) -> dict[str, Slot]:
    """The slots of the target group, by class."""
    given = frame.header.get("slots")
    if not isinstance(given, list) or not 0 < len(given) <= _MAX_SLOTS:
        raise WireError("ipc.protocol", "the daemon named no slots")
    return {slot.slot_class: slot for slot in map(slot_of, given)}


def _orders(bundle: VerifiedBundle, frame: Frame) -> list[Order]:
    """Brings the images of the bundle and the slots of the target group together, by class."""
    slots, starts = _slots(frame), frame.header.get("starts")
    if not isinstance(starts, dict):
        raise WireError("ipc.protocol", "the daemon did not say where to start")
    orders, images = [], choose_images(bundle.manifest, frame.text("variant", ""))
    files = [image.filename for image in images]
    for image in images:
        if image.slot_class not in slots:
            raise WireError("ipc.protocol", "the daemon named no slot for an image", details=image.slot_class)
        slot = slots[image.slot_class]
        # Checkpoints are told by the name of the file: of one for two slots they would not say which slot they mean.
        resumable = files.count(image.filename) == 1 and _resumable(slot, image)
        reached = Frame(starts).number(image.filename, 0) if resumable else 0
        orders.append(Order(image, slot, reached - reached % _BLOCK, resumable))
    return orders


def _byte_by_byte(slot: Slot, image: Image) -> bool:
    return slot.type in BLOCK_TYPES and image_type(image) not in UNPACKED and not slot.resize


def _resumable(slot: Slot, image: Image) -> bool:
    """Whether an interrupted installation can go on: not when something else than the copying has changed the slot.

    What a hook has done is not known afterwards, and enlarging a file system changes what was written before.
    """
    return not image.hooks and not slot.resize and handler_for(slot.type, image_type(image)).resumable
