"""Slots and the groups they form: values, and the rules a set of slots must keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from slots.errors import SlotError

# What may be in a slot, in RAUC's words. Which images each takes: slots.handlers.table.
TYPES = (
    "raw", "ext4", "vfat", "ubivol", "ubifs", "jffs2", "nand", "nor",
    "boot-emmc", "boot-mbr-switch", "boot-gpt-switch", "boot-raw-fallback",
)  # fmt: skip
REGION_TYPES = ("boot-mbr-switch", "boot-gpt-switch", "boot-raw-fallback")  # live in a region of a disk
DISK_TYPES = ("boot-emmc", *REGION_TYPES)  # hold both copies themselves, on a disk that others use as well
BLOCK_TYPES = ("raw", "ext4", "vfat")  # have a block device, or a file, of their own


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one image.

    Attributes:
        name: ``CLASS.INDEX``, such as ``rootfs.0``.
        slot_class: which images of a bundle belong here, such as ``rootfs``.
        index: tells the slots of a class apart.
        device: an absolute path, or ``partlabel:NAME``; see ``slots.device.resolve``.
        type: one of ``TYPES``.
        bootname: the bootloader's name for it; only root slots have one.
        parent: the name of the root slot it belongs to; only other slots have one. A slot of ``DISK_TYPES`` with neither
            belongs to every group.
        readonly: never written to.
        rescue: a system that boots when no other can; only a root slot, the only one of its class, never updated.
        resize: an ext4 file system is enlarged to fill the slot.
        install_same: an image that the slot holds already is written again.
        extra_mkfs_opts: further arguments for the program that makes the file system.
        extra_mount_opts: further options for mounting it, separated by commas.
        region_start: of ``REGION_TYPES``: byte offset on the disk.
        region_size: of ``REGION_TYPES``: bytes.
        size_limit: of ``boot-emmc``: bytes that may be used; 0: all there are.
        allow_devices: archives may hold device nodes.
    """

    name: str
    slot_class: str
    index: int
    device: str
    type: str
    bootname: str | None = None
    parent: str | None = None
    readonly: bool = False
    rescue: bool = False
    resize: bool = False
    install_same: bool = True
    extra_mkfs_opts: tuple[str, ...] = ()
    extra_mount_opts: str = ""
    region_start: int = 0
    region_size: int = 0
    size_limit: int = 0
    allow_devices: bool = False

    @property
    def shared(self) -> bool:
        """Whether it belongs to every group: it holds two copies, and switches between them by itself."""
        return self.type in DISK_TYPES and not self.bootname and not self.parent


@dataclass(frozen=True, slots=True)
class Group:
    """What is booted, updated and abandoned together: a root slot, always first, and the slots that belong to it.

    Those that belong to every group come last.
    """

    bootname: str
    slots: tuple[Slot, ...]

    @property
    def root(self) -> Slot:
        """The slot that the bootloader boots."""
        return self.slots[0]

    @property
    def rescue(self) -> bool:
        """Whether this is the rescue system."""
        return self.root.rescue

    @property
    def readonly(self) -> bool:
        """Whether any of its own slots must never be written to; then the group as a whole cannot be updated."""
        return any(slot.readonly for slot in self.own)

    @property
    def own(self) -> tuple[Slot, ...]:
        """The slots that belong to no other group."""
        return tuple(slot for slot in self.slots if not slot.shared)


def groups_of(slots: Iterable[Slot]) -> tuple[Group, ...]:
    """Brings the slots together by root slot, in the order of the root slots.

    Raises:
        SlotError: ``slot.layout-invalid``, with everything that is wrong.
    """
    every = tuple(slots)
    problems = [*_repeated(every), *_misfits(every)]
    roots = [slot for slot in every if slot.bootname]
    shared = [slot for slot in every if slot.shared]
    groups = tuple(
        Group(root.bootname or "", (root, *(slot for slot in every if slot.parent == root.name), *shared))
        for root in roots
    )
    ordinary = [group for group in groups if not group.rescue]
    if len(ordinary) < 2:
        problems.append(f"at least two slots with a bootname are needed, there are {len(ordinary)}")
    problems += _rescue_misfits(every, groups)
    for group in groups:
        for slot_class in _more_than_once([slot.slot_class for slot in group.slots]):
            problems.append(f"group {group.bootname} has several slots of class {slot_class}")
    if problems:
        raise SlotError(
            "slot.layout-invalid", "the slots of the configuration do not fit together", details="; ".join(problems),
            resolution="give every root slot its own bootname, and every other slot a root slot as its parent",
        )  # fmt: skip
    return groups


def _repeated(slots: Sequence[Slot]) -> Iterator[str]:
    columns = {
        "name": [slot.name for slot in slots],
        "device": [slot.device for slot in slots if slot.type not in DISK_TYPES],
        "bootname": [slot.bootname for slot in slots if slot.bootname],
    }
    for column, values in columns.items():
        for value in _more_than_once(values):
            yield f"several slots have the {column} {value}"


def _misfits(slots: Sequence[Slot]) -> Iterator[str]:
    roots = {slot.name for slot in slots if slot.bootname}
    for slot in slots:
        if slot.type not in TYPES:
            yield f"{slot.name} has the unknown type {slot.type}"
        if slot.bootname and slot.parent:
            yield f"{slot.name} has both a bootname and a parent"
        elif not slot.bootname and not slot.parent and not slot.shared:
            yield f"{slot.name} has neither a bootname nor a parent"
        elif slot.parent and slot.parent not in roots:
            yield f"the parent {slot.parent} of {slot.name} is no slot with a bootname"


def _rescue_misfits(slots: Sequence[Slot], groups: Sequence[Group]) -> Iterator[str]:
    rescue = [group for group in groups if group.rescue]
    if len(rescue) > 1:
        yield f"there are several rescue systems: {', '.join(group.root.name for group in rescue)}"
    for slot in slots:
        if slot.rescue and not slot.bootname:
            yield f"{slot.name} is the rescue system and has no bootname"
        elif slot.rescue and [other.slot_class for other in slots].count(slot.slot_class) > 1:
            yield f"the rescue system {slot.name} is not the only slot of class {slot.slot_class}"


def _more_than_once(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]
