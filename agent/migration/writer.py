"""The text of the new configuration: TOML 1.0, with a comment for each decision. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from agent.config_table import SECTIONS
from agent.config_values import shown
from agent.migration.outcome import Ask, Gone, Put, TomlValue
from agent.migration.source import Entry
from agent.migration.translate import Draft, Line

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_value(value: TomlValue) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace(
            "\x7f", "\\u007F"
        )  # JSON leaves DEL, TOML does not take it
    return repr(value)


def toml_key(key: str) -> str:
    """A key as TOML has it."""
    return key if _BARE.fullmatch(key) else toml_value(key)


def write(draft: Draft, origin: Sequence[str], refused: Sequence[str] = ()) -> str:
    """Writes the file.

    Args:
        draft: the decisions.
        origin: the names of the files that they come from.
        refused: what ``config check`` says against it, one line each.
    """
    head = [f"# Made by ota-agent config import-rauc from {_comment(' and '.join(origin))}."]
    needs = [f"{line.subject}: {what(line)}" for line in draft.needs()] + list(refused)
    if needs:
        head += ["#", "# What needs a person:", *(f"#   {_comment(need)}" for need in needs)]
    parts = ["\n".join(head)]
    parts += ["\n".join(_section(home, draft)) for home in _homes(draft)]
    return "\n\n".join(parts) + "\n"


def what(line: Line) -> str:
    """What was decided about a key without a setting here, or what a person has to do."""
    outcome = line.outcome
    return outcome.what if isinstance(outcome, Ask) else outcome.why


def _homes(draft: Draft) -> Iterator[str]:
    used = {line.home for line in draft.lines}
    for section in SECTIONS:
        if section == "slot":
            yield from sorted((home for home in used if home.startswith("slot.")), key=_natural)
        elif section in used:
            yield section


def _natural(home: str) -> list[tuple[int, str]]:
    return [(int(part) if part.isdecimal() else -1, part) for part in home.split(".")]


def _section(home: str, draft: Draft) -> Iterator[str]:
    lines = [line for line in draft.lines if line.home == home]
    settings = [line for line in lines if isinstance(line.outcome, Put) and not line.off]
    header = "[" + ".".join(toml_key(part) for part in home.split(".")) + "]"
    if settings:
        yield header
    elif any(line.off for line in lines):
        yield f"# {header}"
    for line in lines:
        yield _line(line)


def _line(line: Line) -> str:
    outcome = line.outcome
    if isinstance(outcome, Put):
        setting = f"{toml_key(outcome.key)} = {toml_value(outcome.value)}"
        note = "; ".join(_origin(line.entry, outcome))
        return f"{'# ' if line.off else ''}{setting}" + (f"  # {_comment(note)}" if note else "")
    said = "" if line.entry is None or not line.entry.key else f" = {_value(line.entry)}"
    verdict = "not needed" if isinstance(outcome, Gone) else "TO DO"
    return f"# {_comment(line.subject)}{said}: {verdict}: {_comment(what(line))}"


def _origin(entry: Entry | None, put: Put) -> Iterator[str]:
    if entry is not None:
        yield entry.place if entry.key == put.key else f"{entry.place} {entry.key}"
    if put.why:
        yield put.why


def _value(entry: Entry) -> str:
    return "(a secret)" if entry.secret else shown(entry.value)


def _comment(text: str) -> str:
    """Text that may stand in a comment."""
    return text if text.isprintable() else json.dumps(text)


def lines_of(values: Iterable[Line]) -> list[dict[str, object]]:
    """Decisions for programs."""
    return [
        {
            "file": line.entry.file if line.entry else None,
            "line": line.entry.line if line.entry else None,
            "section": line.entry.section if line.entry else line.home,
            "key": line.entry.key if line.entry else None,
            "text": what(line),
        }
        for line in values
    ]
