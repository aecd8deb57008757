"""The lines of the slots for a kickstart file of wic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ota_layer.layout import Layout, Partition


_ALIGN = 4096  # KiB: erase blocks of eMMC and SD cards are not larger
_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"  # else wic makes an empty partition one for Windows


def slot_lines(layout: Layout, image: str) -> str:
    """The first slot holds the image, byte for byte; the others are empty until an update fills them.

    Args:
        layout: of the disk.
        image: the file of the root file system.
    """
    first, *others = layout.slots
    source = f'--source rawcopy --sourceparams="file={image}" '
    return "\n".join([f"part {source}{_place(first)}", *(f"part --fstype none {_place(slot)}" for slot in others)])


def _place(slot: Partition) -> str:
    where = f"--align {_ALIGN} --fixed-size {slot.size // 1024}K"
    return f"--part-name {slot.label} --uuid {slot.uuid} --part-type {_LINUX} {where}"
