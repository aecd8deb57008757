"""Every key of a ``[slot.CLASS.INDEX]`` of RAUC's ``system.conf``: one row each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agent.migration.outcome import Ask, Facts, Gone, Outcome, Put, Row
from agent.migration.source import Entry
from agent.migration.values import ask, becomes, boolean, gone, one_of, only_for, only_with, path, size, switch, words
from slots.model import REGION_TYPES, TYPES

_SAME = ("install-same", "force-install-same", "ignore-checksum")  # the same setting; the first that is there counts
_REGION = only_for(
    REGION_TYPES, lambda entry, _facts: [Put(entry.section, entry.key, size(entry.value, entry.base))], ""
)


def _type(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    yield Put(entry.section, "type", one_of(TYPES, entry.value))


def _bootname(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    if any(character in entry.value for character in " \t\n\r\f\v"):
        raise ValueError("a name without spaces")
    yield Put(entry.section, "bootname", entry.value)


def _parent(entry: Entry, facts: Facts) -> Iterator[Outcome]:
    """The root slot; RAUC takes a slot that itself has a parent for a link to that."""
    seen = [entry.section.removeprefix("slot.")]
    parent = entry.value
    while parent:
        if parent in seen:
            raise ValueError("parents that do not go in a circle")
        if f"slot.{parent}" not in facts.rauc.sections:
            raise ValueError("the CLASS.INDEX of another slot")
        seen.append(parent)
        parent = facts.rauc.value(f"slot.{parent}", "parent")
    if facts.rauc.value(entry.section, "bootname"):
        raise ValueError("nothing, because the slot has a bootname (RAUC refuses it, too)")
    why = "the root slot behind " + entry.value if seen[-1] != entry.value else ""
    yield Put(entry.section, "parent", seen[-1], why)


def _same(entry: Entry, facts: Facts) -> Iterator[Outcome]:
    write = boolean(entry.value, entry.base)
    first = next(key for key in _SAME if key in facts.rauc.sections[entry.section])
    if entry.key != first:
        yield Gone(f"{first} counts")
    else:
        yield Put(entry.section, "install-same", write, "" if entry.key == _SAME[0] else f"as {entry.key}")


SLOT_ROWS: tuple[Row, ...] = (
    Row("slot.*", "description", gone("only for readers")),
    Row("slot.*", "device", becomes("", "device", path)),
    Row("slot.*", "type", _type),
    Row(
        "slot.*",
        "extra-mkfs-opts",
        only_for(("ext4", "vfat", "ubifs"), becomes("", "extra-mkfs-opts", words), "no file system is made in it"),
    ),
    Row("slot.*", "bootname", _bootname),
    Row("slot.*", "parent", _parent),
    Row(
        "slot.*",
        "allow-mounted",
        switch(Ask("a slot that is mounted is never written here, by a hook neither"), Gone("as here")),
    ),
    Row("slot.*", "readonly", becomes("", "readonly", boolean)),
    *(Row("slot.*", key, _same) for key in _SAME),
    Row(
        "slot.*",
        "resize",
        only_for(("ext4",), becomes("", "resize", boolean), "only ext4 is enlarged"),
    ),
    Row(
        "slot.*",
        "extra-mount-opts",
        only_for(("ext4", "vfat", "ubifs", "jffs2"), becomes("", "extra-mount-opts"), "it is never mounted"),
    ),
    Row("slot.*", "region-start", _REGION),
    Row("slot.*", "region-size", _REGION),
    Row("slot.*", "size-limit", only_for(("boot-emmc",), becomes("", "size-limit", size), "")),
    Row(
        "slot.*",
        "efi-loader",
        only_with(("efi",), ask("boot entries are not made again when they are missing: make them at production")),
    ),
    Row("slot.*", "efi-cmdline", only_with(("efi",), gone("as efi-loader: it is part of the boot entry"))),
)
