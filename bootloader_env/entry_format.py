"""Entries of systemd-boot as file names and text. Pure.

``NAME+LEFT-DONE.conf`` has LEFT boots left and has had DONE; ``NAME.conf`` is proven. The boot loader counts by renaming,
and puts entries without a boot left at the end. Of the others the first boots: those with ``sort-key`` in its order, equal
ones by ``machine-id``, then with the newest ``version`` first. Sources: UAPI.1 Boot Loader Specification, "Boot counting"
and "Sorting"; systemd, "Automatic Boot Assessment" and ``boot_entry_compare`` of systemd-boot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bootloader_env.errors import BootEnvError

PARKED = ".conf.off"  # no entry for the boot loader, which looks for .conf only
_NAME = re.compile(r"(.+?)(?:\+([0-9]{1,9})(?:-([0-9]{1,9}))?)?\.conf(\.off)?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class FileName:
    """A file name taken apart; ``left`` and ``done`` are None without counters. ``parked`` when it is out of service."""

    stem: str
    left: int | None
    done: int | None
    parked: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a slot.

    Attributes:
        file: the name of its file.
        name: the same, taken apart.
        text: its content.
        version: the number by which entries of slots are ordered.
    """

    file: str
    name: FileName
    text: str
    version: int

    @property
    def bootable(self) -> bool:
        """Whether the boot loader takes it when its turn comes."""
        return not self.name.parked and self.name.left != 0


def decode_name(file: str) -> FileName | None:
    """Takes a file name apart; None for a file that is no entry."""
    match = _NAME.fullmatch(file)
    if match is None:
        return None
    left, done = match[2], match[3]
    counted = left is not None
    return FileName(match[1], int(left) if counted else None, int(done or 0) if counted else None, bool(match[4]))


def encode_name(stem: str, *, left: int | None = None, parked: bool = False) -> str:
    """Builds a file name, with ``left`` boots to go and none had, or without counters."""
    return f"{stem}{'' if left is None else f'+{left}'}{PARKED if parked else '.conf'}"


def fields(text: str) -> dict[str, str]:
    """Returns keys and values; of a key that is repeated the last value counts."""
    found = {}
    for line in text.splitlines():
        words = line.strip().split(maxsplit=1)
        if len(words) == 2 and not words[0].startswith("#"):
            found[words[0]] = words[1].strip()
    return found


def with_version(text: str, version: int) -> str:
    """Replaces the version; everything else stays as it is."""
    kept = [line for line in text.splitlines() if line.split(maxsplit=1)[:1] != ["version"]]
    return "".join(f"{line}\n" for line in (*kept, f"version {version}"))


def entry(file: str, name: FileName, text: str) -> Entry:
    """Makes an entry of a slot.

    Raises:
        BootEnvError: ``bootenv.entry-invalid`` when it has fields by which its place cannot be told.
    """
    found = fields(text)
    if "sort-key" not in found or "machine-id" in found or not _NUMBER.fullmatch(found.get("version", "")):
        raise invalid(f"{file} needs a sort-key, a version that is a whole number, and no machine-id")
    return Entry(file, name, text, int(found["version"]))


def ranked(entries: list[Entry]) -> list[Entry]:
    """Sorts entries of slots as the boot loader does.

    Raises:
        BootEnvError: ``bootenv.entry-invalid`` when they have different sort keys.
    """
    if len({fields(each.text)["sort-key"] for each in entries}) > 1:
        raise invalid("the entries of the slots have different sort-keys")
    return sorted(entries, key=lambda each: (not each.bootable, -each.version))


def invalid(details: str) -> BootEnvError:
    """Makes the error for entries that cannot be used."""
    return BootEnvError(
        "bootenv.entry-invalid", "a boot entry of systemd-boot cannot be used", details=details,
        resolution="give the entries of all slots the same sort-key, a number as version, and no machine-id",
    )  # fmt: skip
