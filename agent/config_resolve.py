"""From parsed TOML documents to one value for each setting, with every problem found on the way.

Pure: no file is opened here. Later documents override earlier ones key by key. Each value remembers the file it came
from, for messages, for ``config show --defaults`` and because relative paths start at that file's directory.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.config_table import REQUIRED, SECTIONS, SETTINGS, Setting
from agent.config_values import ATTRIBUTE, shown
from slots.model import REGION_TYPES

MAX_SLOTS = 64
MAX_ATTRIBUTES = 100  # hawkBit's maxAttributeEntriesPerTarget
_ONLY_FOR: Mapping[str, tuple[str, ...]] = {  # settings that mean something to slots of some types only
    "resize": ("ext4",),
    "extra-mkfs-opts": ("ext4", "vfat", "ubifs"),
    "extra-mount-opts": ("ext4", "vfat", "ubifs", "jffs2"),
    "allow-devices": ("ext4", "ubifs", "jffs2"),
    "region-start": REGION_TYPES,
    "region-size": REGION_TYPES,
    "size-limit": ("boot-emmc",),
}
_CREDENTIALS = ("target-token-file", "gateway-token-file", "client-cert")  # of which exactly one is used
_SLOT_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_SLOT_INDEX = re.compile(r"0|[1-9][0-9]?")

_ROWS: Mapping[str, Mapping[str, Setting]] = {
    section: {row.key: row for row in SETTINGS if row.section == section} for section in SECTIONS
}


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting is, and which file says so (None: the default)."""

    value: object
    file: Path | None


@dataclass(frozen=True, slots=True)
class _Found:
    """A key as it stands in a file, not yet checked."""

    section: str
    key: str
    raw: object
    file: Path


@dataclass(slots=True)
class Resolution:
    """The outcome.

    Attributes:
        sections: section (``slot.rootfs.0`` for a slot) to key to value; every setting of the table is there.
        problems: one line each, ``file: section.key: expected ..., got ...``; the values are good only if it is empty.
    """

    sections: dict[str, dict[str, Value]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def text(self, section: str, key: str) -> str:
        """The value of a setting as text; empty for None and for what had a problem."""
        value = self.sections.get(section, {}).get(key)
        return "" if value is None or value.value is None else str(value.value)

    def number(self, section: str, key: str) -> float | None:
        """The value of a numeric setting; None for what had a problem."""
        value = self.sections.get(section, {}).get(key)
        return value.value if value is not None and isinstance(value.value, int | float) else None


def resolve(documents: Sequence[tuple[Path, Mapping[str, object]]], main: Path) -> Resolution:
    """Checks and merges documents.

    Args:
        documents: file and its parsed TOML, the least important first.
        main: the file that a person would add a missing setting to.
    """
    outcome = Resolution()
    merged: dict[tuple[str, str], _Found] = {}
    for file, document in documents:
        for found in _keys(file, document, outcome.problems):
            merged[found.section, found.key] = found
    slots = sorted({slot for _, document in documents for slot in _slots(document)}, key=_by_class_and_index)
    for section in [*(name for name in SECTIONS if name not in ("slot", "server.attributes")), *slots]:
        outcome.sections[section] = _fill(section, merged, main, outcome.problems)
    outcome.sections["server.attributes"] = _attributes(merged, outcome.problems)
    outcome.problems += [f"{main}: {problem}" for problem in _relations(outcome, slots)]
    return outcome


def rows_of(section: str) -> Mapping[str, Setting]:
    """The rows of a section by key; ``slot.rootfs.0`` has those of ``slot``."""
    return _ROWS["slot" if section.startswith("slot.") else section]


def is_slot(section: str) -> bool:
    """Whether a section has the name of a slot, such as ``slot.rootfs.0``."""
    kind, _, name = section.partition(".")
    slot_class, _, index = name.partition(".")
    return kind == "slot" and bool(_SLOT_CLASS.fullmatch(slot_class) and _SLOT_INDEX.fullmatch(index))


def _keys(file: Path, document: Mapping[str, object], problems: list[str]) -> Iterator[_Found]:
    known = sorted({name.split(".")[0] for name in SECTIONS})
    for section, table in document.items():
        if section not in known:
            problems.append(f"{file}: {_printable(section)}: unknown section{_nearest(section, known)}")
        elif not isinstance(table, dict):
            problems.append(f"{file}: {section}: expected a table, got {shown(table)}")
        elif section == "slot":
            yield from _slot_keys(file, table, problems)
        else:
            yield from _section_keys(file, section, table, problems)


def _section_keys(file: Path, section: str, table: Mapping[str, object], problems: list[str]) -> Iterator[_Found]:
    rows = rows_of(section)
    for key, raw in table.items():
        if key in rows:
            yield _Found(section, key, raw, file)
        elif (section, key) == ("server", "attributes"):
            if isinstance(raw, dict):
                yield from (_Found("server.attributes", name, value, file) for name, value in raw.items())
            else:
                problems.append(f"{file}: server.attributes: expected a table, got {shown(raw)}")
        else:
            problems.append(f"{file}: {section}.{_printable(key)}: unknown key{_nearest(key, rows)}")


def _slot_keys(file: Path, table: Mapping[str, object], problems: list[str]) -> Iterator[_Found]:
    for slot_class, members in table.items():
        if not _SLOT_CLASS.fullmatch(slot_class) or not isinstance(members, dict):
            problems.append(
                f"{file}: slot.{_printable(slot_class)}: expected [slot.CLASS.INDEX], such as [slot.rootfs.0]"
            )
            continue
        for index, keys in members.items():
            section = f"slot.{slot_class}.{_printable(index)}"
            if not _SLOT_INDEX.fullmatch(index) or not isinstance(keys, dict):
                problems.append(f"{file}: {section}: expected [slot.CLASS.INDEX] with an index from 0 to 99")
            else:
                yield from _section_keys(file, section, keys, problems)


def _slots(document: Mapping[str, object]) -> Iterator[str]:
    """The slots of a document; a table without any key is one too, and then lacks what is required."""
    classes = document.get("slot")
    for slot_class, members in classes.items() if isinstance(classes, dict) else ():
        if _SLOT_CLASS.fullmatch(slot_class) and isinstance(members, dict):
            for index, keys in members.items():
                if _SLOT_INDEX.fullmatch(index) and isinstance(keys, dict):
                    yield f"slot.{slot_class}.{index}"


def _by_class_and_index(section: str) -> tuple[str, int]:
    _, slot_class, index = section.split(".")
    return slot_class, int(index)


def _fill(section: str, merged: Mapping[tuple[str, str], _Found], main: Path, problems: list[str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for key, row in rows_of(section).items():
        found = merged.get((section, key))
        if found is None and row.default is REQUIRED:
            problems.append(f"{main}: {section}.{key}: expected {row.kind.expected}, got nothing")
        elif found is None:
            values[key] = Value(row.kind.accept(row.default, Path("/")), None)
        else:
            try:
                values[key] = Value(row.kind.accept(found.raw, found.file.parent), found.file)
            except ValueError:
                problems.append(f"{found.file}: {section}.{key}: expected {row.kind.expected}, got {shown(found.raw)}")
    return values


def _attributes(merged: Mapping[tuple[str, str], _Found], problems: list[str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for (section, key), found in merged.items():
        if section != "server.attributes":
            continue
        try:
            ATTRIBUTE.accept(key, found.file.parent)
            values[key] = Value(ATTRIBUTE.accept(found.raw, found.file.parent), found.file)
        except ValueError:
            problems.append(
                f"{found.file}: {section}.{_printable(key)}: expected key and value to be {ATTRIBUTE.expected}, "
                f"got {shown(found.raw)}"
            )
    if len(values) > MAX_ATTRIBUTES:
        problems.append(f"server.attributes: expected at most {MAX_ATTRIBUTES} attributes, got {len(values)}")
    return values


def _relations(outcome: Resolution, slots: Sequence[str]) -> Iterator[str]:
    """What no single value can tell. The shape of the slots as a whole is judged by the package ``slots``."""
    if not any(outcome.text("keyring", key) for key in ("path", "directory")):
        yield "keyring.path: expected a path because keyring.directory is not set, got nothing"
    if outcome.text("server", "url"):
        if not outcome.text("server", "controller-id"):
            yield "server.controller-id: expected a name because server.url is set, got nothing"
        ways = [key for key in _CREDENTIALS if outcome.text("server", key)]
        if len(ways) != 1:
            got = " and ".join(ways) or "nothing"
            yield f"server.target-token-file: expected exactly one of {', '.join(_CREDENTIALS)}, got {got}"
    for key, needed in (("client-cert", "client-key"), ("client-key", "client-cert"), ("proxy-auth-file", "proxy")):
        if outcome.text("server", key) and not outcome.text("server", needed):
            yield f"server.{needed}: expected a value because server.{key} is set, got nothing"
    if outcome.text("encryption", "cert") and not outcome.text("encryption", "key"):
        yield "encryption.key: expected a file because encryption.cert is set, got nothing"
    if outcome.text("system", "variant-name") and outcome.text("system", "variant-file"):
        yield "system.variant-name: expected either this or system.variant-file, got both"
    yield from _of_the_bootloader(outcome)
    yield from _at_most(outcome, "server", "poll-min", "poll-max")
    yield from _at_most(outcome, "health", "soak", "deadline")
    yield from _at_most(outcome, "health", "interval", "deadline")
    for slot in slots:
        yield from _of_the_type(outcome, slot)
    if not 1 <= len(slots) <= MAX_SLOTS:
        yield f"slot: expected from 1 to {MAX_SLOTS} slots, got {len(slots)}"


def _of_the_bootloader(outcome: Resolution) -> Iterator[str]:
    if outcome.text("bootloader", "type") == "custom" and not outcome.text("bootloader", "custom-backend"):
        yield "bootloader.custom-backend: expected a program because bootloader.type is custom, got nothing"
    if outcome.text("bootloader", "type") == "grub":
        for key in ("boot-attempts", "boot-attempts-primary"):
            if (outcome.number("bootloader", key) or 0) > 9:  # one digit: GRUB's script language cannot calculate
                yield f"bootloader.{key}: expected at most 9 with GRUB, got {outcome.text('bootloader', key)}"


def _of_the_type(outcome: Resolution, slot: str) -> Iterator[str]:
    kind, values = outcome.text(slot, "type"), outcome.sections[slot]
    for key, types in _ONLY_FOR.items():
        value = values.get(key)
        if kind and kind not in types and value is not None and value.value:  # the defaults of all of them are empty
            yield f"{slot}.{key}: expected nothing for a slot of type {kind}, got {shown(value.value)}"
    if kind in REGION_TYPES and outcome.number(slot, "region-size") == 0:
        yield f"{slot}.region-size: expected a number of bytes for a slot of type {kind}, got nothing"


def _at_most(outcome: Resolution, section: str, low: str, high: str) -> Iterator[str]:
    small, large = outcome.number(section, low), outcome.number(section, high)
    if small is not None and large is not None and small > large:
        yield f"{section}.{low}: expected at most {section}.{high}, which is {large:g}, got {small:g}"


def _nearest(name: str, candidates: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:64], list(candidates), n=1)
    return f", did you mean {close[0]}?" if close else ""


def _printable(name: str) -> str:
    """A name out of a file, safe to print."""
    text = name if name.isprintable() else repr(name)
    return text if len(text) <= 64 else text[:61] + "..."
