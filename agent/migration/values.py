"""Values as GLib and rauc-hawkbit-updater read them, and what rows of the tables are made of. Pure.

Each conversion takes the text and the directory that relative paths start from, and raises ValueError with what it expected.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path

from agent.migration.outcome import Ask, Convert, Facts, Gone, Outcome, Put, Translate
from agent.migration.source import Entry

_SIZE = re.compile(r"([0-9]{1,18})([kmgtKMGT]?) *")


def text(value: str, _base: Path) -> str:
    """As it is."""
    return value


def chomped(value: str, _base: Path) -> str:
    """Without spaces at its end, as rauc-hawkbit-updater reads every text."""
    return value.rstrip()


def boolean(value: str, _base: Path) -> bool:
    """As GLib reads it."""
    words = {"true": True, "1": True, "false": False, "0": False}
    if value.rstrip() not in words:
        raise ValueError("true or false")
    return words[value.rstrip()]


def loose_boolean(value: str, _base: Path) -> bool:
    """As rauc-hawkbit-updater reads it."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if value.rstrip().lower() not in words:
        raise ValueError("true or false")
    return words[value.rstrip().lower()]


def whole(value: str, _base: Path) -> int:
    """A number that is not negative."""
    if not re.fullmatch(r"\+?[0-9]{1,18}", value.rstrip()):
        raise ValueError("a number that is not negative")
    return int(value)


def size(value: str, _base: Path) -> int | str:
    """Bytes, or with K, M, G or T for powers of 1024."""
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError("a number of bytes, such as 4194304 or 4M")
    return match[1] + match[2].upper() if match[2] else int(match[1])


def path(value: str, base: Path) -> str:
    """An absolute path; normalized as text, because links are those of another machine."""
    return os.path.normpath(base / value)


def rooted(value: str, _base: Path) -> str:
    """A path that RAUC takes as it is: a relative one starts at its working directory, which is the root under systemd."""
    return os.path.normpath(Path("/") / value)


def words(value: str, _base: Path) -> list[str]:
    """A command line as a shell splits it."""
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"words as in a shell ({error})") from None


def items(value: str) -> list[str]:
    """A list of GLib's."""
    return value.removesuffix(";").split(";")


def becomes(section: str, key: str, convert: Convert = text, why: str = "") -> Translate:
    """A row that has its setting here; an empty section is that of the key itself, for slots."""

    def translate(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
        yield Put(section or entry.section, key, convert(entry.value, entry.base), why)

    return translate


def gone(why: str, convert: Convert = text) -> Translate:
    """A row without a meaning here."""

    def translate(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
        convert(entry.value, entry.base)
        yield Gone(why)

    return translate


def ask(what: str) -> Translate:
    """A row that needs a person."""

    def translate(_entry: Entry, _facts: Facts) -> Iterator[Outcome]:
        yield Ask(what)

    return translate


def switch(on: Outcome, off: Outcome, convert: Convert = boolean) -> Translate:
    """A row that is true or false."""

    def translate(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
        yield on if convert(entry.value, entry.base) else off

    return translate


def only_with(bootloaders: Collection[str], then: Translate) -> Translate:
    """A row that RAUC takes with some bootloaders only."""

    def translate(entry: Entry, facts: Facts) -> Iterator[Outcome]:
        if facts.bootloader not in bootloaders:
            raise ValueError(
                f"nothing, because only bootloader={' or '.join(bootloaders)} knows it (RAUC refuses it, too)"
            )
        yield from then(entry, facts)

    return translate


def only_for(types: Collection[str], then: Translate, otherwise: str) -> Translate:
    """A row that counts for slots of some types only; with an empty ``otherwise`` RAUC refuses it for others."""

    def translate(entry: Entry, facts: Facts) -> Iterator[Outcome]:
        kind = facts.rauc.value(entry.section, "type", "raw")
        if kind in types:
            yield from then(entry, facts)
        elif otherwise:
            yield Gone(f"{otherwise} (type {kind})")
        else:
            raise ValueError(f"nothing for a slot of type {kind} (RAUC refuses it, too)")

    return translate


def one_of(names: Collection[str], value: str) -> str:
    """One of some names."""
    if value not in names:
        close = get_close_matches(value[:64], list(names), n=1)
        raise ValueError(f"one of {', '.join(names)}{f' (did you mean {close[0]}?)' if close else ''}")
    return value


def nearest(name: str, names: Collection[str]) -> str:
    """Words that suggest what may have been meant; empty if nothing is near."""
    close = get_close_matches(name[:64], list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
