"""Which block devices are media that somebody has plugged in. Pure: facts of sysfs in, choice out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

MAX_PARTITIONS = 8  # of one disk that are looked into; GPT has room for 128, and each takes its time


@dataclass(frozen=True, slots=True)
class Block:
    """A disk or a partition.

    Attributes:
        node: its path in /dev.
        disk: the node of the disk around it; its own if it is one.
        names: ``node``, and the links that udev has made for it or for its disk.
        size: in bytes; a reader without a card has 0.
        sequence: the kernel's number of what is plugged in (``diskseq``, Linux 5.15); another medium has another one.
        removable: the disk says that its medium can be taken out.
        usb: it hangs on USB.
        card: an SD card, as opposed to an eMMC.
    """

    node: str
    disk: str
    names: tuple[str, ...] = ()
    size: int = 0
    sequence: str = ""
    removable: bool = False
    usb: bool = False
    card: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What stays the same until it is plugged out."""
        return (self.node, self.sequence)


def media(blocks: Iterable[Block], patterns: Sequence[str], own: Collection[str]) -> tuple[Block, ...]:
    """The devices that may hold a file system with bundles, in the order of their nodes; of one disk at most the first 8.

    Args:
        blocks: all block devices.
        patterns: of ``media.devices``: for nodes and links; a pattern that fits a disk stands for its partitions too. With any,
            what the device says of itself does not matter.
        own: nodes of the disks that the running system, its state or its slots are on.
    """
    known = list(blocks)
    divided = {block.disk for block in known if block.disk != block.node}
    links = {block.node: block.names for block in known}
    found: list[Block] = []
    for block in sorted(known, key=lambda block: (len(block.node), block.node)):
        if block.disk in own or not block.size or block.node in divided:
            continue
        names = {block.node, block.disk, *block.names, *links.get(block.disk, ())}
        by_name = any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
        by_nature = not patterns and (block.removable or block.usb or block.card)
        if (by_name or by_nature) and sum(each.disk == block.disk for each in found) < MAX_PARTITIONS:
            found.append(block)
    return tuple(sorted(found, key=lambda block: block.node))
