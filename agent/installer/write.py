"""From a verified bundle into the slots, and back again to see what the medium really holds."""

from __future__ import annotations

import fcntl
import time
from dataclasses import dataclass

from agent.bundle.manifest import Image
from agent.bundle.verify import VerifiedBundle
from agent.errors import EnvironmentFault
from agent.wire import Channel, Frame, WireError
from slots.device import Target, open_target
from slots.model import Slot
from slots.writer import read_back, write_image

_REPORT_EVERY = 0.25  # seconds
_MAX_SLOTS = 64
_LOCK_PATIENCE = 10.0  # seconds: an installer of a killed daemon may still be dying


@dataclass(frozen=True, slots=True)
class Order:
    """One image into one slot, from a byte offset on that an earlier attempt has surely written."""

    image: Image
    slot: Slot
    start: int


def install(bundle: VerifiedBundle, frame: Frame, channel: Channel) -> dict[str, object]:
    """Writes every image of the plan and reads it back.

    Args:
        bundle: only a verified one can be written; the type says so.
        frame: the daemon's ``install`` message with its ``plan``.
        channel: where progress and checkpoints go.

    Returns:
        ``written`` bytes, ``seconds``, and for each slot the digest that the medium gave back.

    Raises:
        EnvironmentFault: ``slot.read-back`` when the medium holds something else than the manifest says.
    """
    orders = _orders(bundle, frame)
    booted = _booted(frame)
    total = sum(order.image.size for order in orders)
    before, written, started, reading = 0, 0, time.monotonic(), 0.0
    results: list[dict[str, object]] = []
    for order in orders:
        report = _Reporter(channel, before, total, order.image.filename)
        with open_target(order.slot, booted=booted, size=order.image.size) as target:
            _lock(target)
            written += _write(bundle, order, target, report)
            since = time.monotonic()
            digest = read_back(target, order.image.size, report.checked)
            reading += time.monotonic() - since
        if digest != order.image.sha256:
            raise EnvironmentFault(
                "slot.read-back", f"slot {order.slot.name} does not hold what was written to it",
                details=f"read back sha256 {digest[:16]}..., expected {order.image.sha256[:16]}...",
                resolution="it is written again from the start; if this repeats, the storage is failing",
            )  # fmt: skip
        before += order.image.size
        results.append({"slot": order.slot.name, "sha256": digest, "size": order.image.size})
    seconds = time.monotonic() - started
    return {"written": written, "seconds": seconds, "read_back_seconds": reading, "results": results}


def _write(bundle: VerifiedBundle, order: Order, target: Target, report: _Reporter) -> int:
    file = bundle.image_file(order.image)
    return write_image(
        target,
        file.blocks(order.start),
        order.image.size,
        start=order.start,
        progress=report.wrote,
        checkpoint=report.checkpoint,
    )


def _lock(target: Target) -> None:
    """Takes the target for this process alone; O_EXCL does it for block devices, this does it for files too."""
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(target.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    "slot.busy", "another process is writing to the slot", details=target.path
                ) from error
            time.sleep(0.1)
        else:
            return


class _Reporter:
    def __init__(self, channel: Channel, before: int, total: int, filename: str) -> None:
        self._channel, self._before, self._total, self._filename = channel, before, total, filename
        self._last = 0.0

    def wrote(self, done: int) -> None:
        self._send("written", done)

    def checked(self, done: int) -> None:
        self._send("checked", done)

    def checkpoint(self, offset: int) -> None:
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


def _orders(bundle: VerifiedBundle, frame: Frame) -> list[Order]:
    """Brings the images of the bundle and the slots of the target group together, by class."""
    given, starts = frame.header.get("slots"), frame.header.get("starts")
    if not isinstance(given, list) or not 0 < len(given) <= _MAX_SLOTS or not isinstance(starts, dict):
        raise WireError("ipc.protocol", "the daemon named no slots")
    slots = {}
    for entry in given:
        item = Frame(entry if isinstance(entry, dict) else {})
        name = item.text("name")
        slots[item.text("class")] = Slot(
            name=name, slot_class=item.text("class"), index=item.number("index"), device=item.text("device"),
            type=item.text("type"), readonly=item.header.get("readonly", False) is not False,
        )  # fmt: skip
    orders = []
    for image in bundle.manifest.images:
        if image.slot_class not in slots:
            raise WireError("ipc.protocol", "the daemon named no slot for an image", details=image.slot_class)
        orders.append(Order(image, slots[image.slot_class], Frame(starts).number(image.filename, 0)))
    return orders
