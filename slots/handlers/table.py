"""Which types of image a slot of each type takes, and who puts them there.

Source: ``image_type_map`` in RAUC's ``src/update_handler.c``, without the casync types. ``erofs`` is ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

from slots.errors import SlotError
from slots.handlers.port import Handler

KINDS = ("raw", "ext4", "vfat", "squashfs", "erofs", "ubifs", "tar", "emptyfs")
UNPACKED = ("tar", "emptyfs")  # go into a file system that is made for them; the others are copied

PAIRS: Mapping[tuple[str, str], str] = {  # slot type, image type: module beside this one, with a function ``handler``
    ("raw", "raw"): "copy",
    ("raw", "ext4"): "copy",
    ("raw", "vfat"): "copy",
    ("raw", "squashfs"): "copy",
    ("raw", "erofs"): "copy",
    ("ext4", "raw"): "copy",
    ("ext4", "ext4"): "copy",
    ("ext4", "tar"): "filesystem",
    ("ext4", "emptyfs"): "filesystem",
    ("vfat", "raw"): "copy",
    ("vfat", "vfat"): "copy",
    ("vfat", "tar"): "filesystem",
    ("ubivol", "raw"): "ubi",
    ("ubivol", "squashfs"): "ubi",
    ("ubivol", "ubifs"): "ubi",
    ("ubifs", "raw"): "ubi",
    ("ubifs", "ubifs"): "ubi",
    ("ubifs", "tar"): "filesystem",
    ("jffs2", "raw"): "flash",
    ("jffs2", "tar"): "filesystem",
    ("nand", "raw"): "flash",
    ("nor", "raw"): "flash",
    ("boot-emmc", "raw"): "emmc",
    ("boot-mbr-switch", "raw"): "partition_switch",
    ("boot-mbr-switch", "vfat"): "partition_switch",
    ("boot-gpt-switch", "raw"): "partition_switch",
    ("boot-gpt-switch", "vfat"): "partition_switch",
    ("boot-gpt-switch", "ext4"): "partition_switch",
    ("boot-raw-fallback", "raw"): "fallback_copy",
}


def taken_by(slot_type: str) -> tuple[str, ...]:
    """The image types that a slot of this type takes."""
    return tuple(kind for taker, kind in PAIRS if taker == slot_type)


def handler_for(slot_type: str, kind: str) -> Handler:
    """The handler of a pair; its module is loaded only now.

    Args:
        slot_type: one of ``slots.model.TYPES``.
        kind: an image type; whatever is not in ``KINDS`` is refused.

    Raises:
        SlotError: ``slot.image-type``.
    """
    module = PAIRS.get((slot_type, kind))
    if module is None:
        raise SlotError(
            "slot.image-type", "a slot of this type does not take an image of this type",
            details=f"image type {kind!r} for slot type {slot_type!r}, which takes {', '.join(taken_by(slot_type))}",
            resolution="build a bundle with an image that the slot takes, or correct the type of the slot"
            if kind
            else "say in the manifest what the image is (type=), or give its file a name that tells (docs/slots.md)",
        )  # fmt: skip
    return cast("Handler", importlib.import_module(f"slots.handlers.{module}").handler(slot_type))
