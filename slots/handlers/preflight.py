"""Everything that can be said about an image and its slot before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence

from slots.device import capacity, examine, require_room
from slots.handlers.table import handler_for
from slots.model import BLOCK_TYPES, Slot
from slots.refusals import readonly


def preflight(slot: Slot, kind: str, size: int, *, name: str, booted: Sequence[str], own: bool = False) -> None:
    """Refuses what could not be installed.

    Args:
        slot: where the image goes.
        kind: the image type; empty when it is not known.
        size: of the image, in bytes.
        name: of the image's file.
        booted: the devices of the booted group, as configured.
        own: a program of the bundle puts the image into the slot, whatever its type.

    Raises:
        SlotError: ``slot.image-type``, ``slot.readonly``, ``slot.booted``, ``slot.archive-decoder``, and what
            ``Handler.preflight`` raises.
    """
    if slot.readonly:
        raise readonly(slot, "the configuration says so")
    handler = None if own else handler_for(slot.type, kind)
    if slot.type in BLOCK_TYPES:  # the others are, or share, what the running system lives on
        path, _ = examine(slot, booted=booted)
        if handler is None:
            require_room(slot, size, capacity(path))
    if handler is not None:
        handler.preflight(slot, kind, size)
    if kind == "tar":
        from slots.archive.decode import require

        require(name)
