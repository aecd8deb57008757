"""A configuration in GLib's grammar, with the line of each key. Pure.

``agent.bundle.keyfile`` decides what is well-formed. It is stricter than GLib: a key that appears twice, of which GLib takes
the last, is an error here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.bundle.keyfile import read_keyfile
from agent.errors import BundleError, ConfigError

_SPACES = " \t\n\f\r"  # g_ascii_isspace
MAX_PROBLEMS = 50  # lines in one message
_PLACE = re.compile(r"^(?:line (\d+):? )?")
_RESOLUTION = "correct the file; RAUC and rauc-hawkbit-updater explain their keys in their manuals"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key.

    Attributes:
        file: the name of its file, without directories.
        line: counted from 1.
        section: the group.
        key: its name.
        value: decoded, never empty.
        base: the directory that relative paths start from.
        raw: the value without its escape sequences decoded.
        secret: its value must not be shown.
    """

    file: str
    line: int
    section: str
    key: str
    value: str
    base: Path
    raw: str = ""
    secret: bool = False

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Source:
    """One file.

    Attributes:
        name: of the file, without directories.
        base: the directory that relative paths start from.
        sections: the keys of each group, in their order.
        lines: where each group begins.
    """

    name: str
    base: Path
    sections: Mapping[str, Mapping[str, Entry]]
    lines: Mapping[str, int]

    def value(self, section: str, key: str, default: str = "") -> str:
        """The value of a key, or ``default``."""
        entry = self.sections.get(section, {}).get(key)
        return default if entry is None else entry.value


def read_source(name: str, base: Path, data: bytes) -> Source:
    """Reads a file.

    Args:
        name: of the file, for messages.
        base: an absolute directory that relative paths start from.
        data: its content.

    Raises:
        ConfigError: ``config.import-invalid``.
    """
    try:
        groups = read_keyfile(data)
    except BundleError as error:
        raise invalid([f"{name}{_PLACE.sub(_shorter, error.details)}"]) from None
    where = _lines(data.decode("utf-8"))
    sections: dict[str, dict[str, Entry]] = {section: {} for section in groups}
    for section, pairs in groups.items():
        for key, value in pairs.items():
            line, raw = where[section, key]
            sections[section][key] = Entry(name, line, section, key, value, base, raw)
    return Source(name, base, sections, {section: where[section, ""][0] for section in groups})


def invalid(problems: list[str]) -> ConfigError:
    """The refusal of a file, with everything that is wrong."""
    more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
    return ConfigError(
        "config.import-invalid",
        f"the configuration to import has {len(problems)} problem{'s' if len(problems) > 1 else ''}",
        details="\n".join([*problems[:MAX_PROBLEMS], *more]),
        resolution=_RESOLUTION,
    )


def _shorter(place: re.Match[str]) -> str:
    return f":{place[1]}: " if place[1] else ": "


def _lines(text: str) -> dict[tuple[str, str], tuple[int, str]]:
    """Line and raw value of each key, and with an empty key the line of each group, of a text that is well-formed."""
    where: dict[tuple[str, str], tuple[int, str]] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(_SPACES)
        if line.startswith("["):
            section = line[1:].partition("]")[0]
            where.setdefault((section, ""), (number, ""))
        elif line and not line.startswith("#"):
            key, _, raw = line.partition("=")
            where[section, key.rstrip(_SPACES)] = (number, raw.lstrip(_SPACES))
    return where
