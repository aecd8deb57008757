"""``ota-agent config``: what is configured, where it comes from, and whether a file is right."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from agent import config
from agent.cli.output import Exit, say, say_json

if TYPE_CHECKING:
    from agent.config_resolve import Value


def show(arguments: Namespace) -> int:
    """Shows the settings in force; those that are defaults only with ``--defaults``."""
    config.load(arguments.config)  # refuses what is not in order
    files, resolution = config.survey(arguments.config)
    sections = {
        name: {key: value for key, value in values.items() if arguments.defaults or value.file is not None}
        for name, values in resolution.sections.items()
    }
    if arguments.json:
        settings = {name: {key: _plain(value.value) for key, value in rows.items()} for name, rows in sections.items()}
        say_json({"files": [str(file) for file in files], "settings": settings})
        return Exit.OK
    lines: list[str] = []
    for name, rows in sorted(sections.items()):
        if rows:
            lines += ["", f"[{name}]", *(_line(key, value) for key, value in rows.items())]
    say(lines[1:])
    return Exit.OK


def check(arguments: Namespace) -> int:
    """Says whether files are right, also together with the rules for slots."""
    loaded = config.load(arguments.files or None)
    check_slots(loaded)
    if arguments.json:
        say_json({"ok": True, "files": [str(file) for file in loaded.files]})
    else:
        say(f"in order: {', '.join(str(file) for file in loaded.files)}")
    return Exit.OK


def check_slots(loaded: config.Config) -> None:
    """Refuses slots that do not fit together: SlotError."""
    from slots.model import Slot, groups_of

    groups_of(tuple(Slot(**{name.name: getattr(item, name.name) for name in fields(Slot)}) for item in loaded.slots))


def _line(key: str, value: Value) -> str:
    name = key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else json.dumps(key)
    return f"{name} = {json.dumps(_plain(value.value))}   # {value.file or 'default'}"


def _plain(value: object) -> object:
    """A value as TOML and JSON both write it."""
    if value is None:
        return ""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
