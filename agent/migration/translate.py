"""From the keys of the old files to a draft of ours: every key by its row, none left out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.config_resolve import rows_of
from agent.config_values import ATTRIBUTE, shown
from agent.migration.outcome import Ask, Facts, Gone, Outcome, Put, Row
from agent.migration.rauc_table import RAUC_ROWS
from agent.migration.rules import defaults, lonely_root, misfit, refusals
from agent.migration.source import Entry, Source, invalid
from agent.migration.updater_table import UPDATER_ROWS
from agent.migration.values import nearest

_HOMES = {  # where comments about a section of the old files stand in the new one
    "streaming": "fetcher", "polling": "policy", "casync": "bundle", "autoinstall": "update", "handlers": "update",
    "log": "system", "artifacts": "bundle", "client": "server", "device": "server.attributes",
}  # fmt: skip
_RESCUE = (
    "it is the only root slot of its class: if it is the system that boots when no other can, say rescue = true and "
    "see boot-scripts.md"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One decision.

    Attributes:
        home: the section of ours where it stands.
        outcome: what was decided.
        entry: the key that led to it; None for what the old programs do by themselves.
        off: a setting that is written as a comment, because it cannot count.
    """

    home: str
    outcome: Outcome
    entry: Entry | None = None
    off: bool = False

    @property
    def subject(self) -> str:
        """What it is about, with its place: ``system.conf:3 [system] compatible``."""
        if self.entry is None:
            return f"[{self.home}]"
        return f"{self.entry.place} [{self.entry.section}] {self.entry.key}".rstrip()


@dataclass(slots=True)
class Draft:
    """The decisions in their order."""

    lines: list[Line] = field(default_factory=list)

    def needs(self) -> list[Line]:
        """Those that need a person."""
        return [line for line in self.lines if isinstance(line.outcome, Ask)]

    def dropped(self) -> list[Line]:
        """The keys without a meaning here."""
        return [line for line in self.lines if isinstance(line.outcome, Gone)]


def translate(rauc: Source, updater: Source | None, *, stores_secrets: bool) -> Draft:
    """Applies the tables.

    Args:
        rauc: RAUC's configuration.
        updater: rauc-hawkbit-updater's, if there is one.
        stores_secrets: whether the caller writes the secrets to files of their own.

    Raises:
        ConfigError: ``config.import-invalid``, with every problem.
    """
    facts = Facts(rauc, updater, stores_secrets)
    draft = Draft()
    problems: list[str] = []
    for source, rows in ((rauc, RAUC_ROWS), (updater, UPDATER_ROWS)):
        if source is not None:
            _apply(source, rows, facts, draft, problems)
    problems += refusals(facts)
    if problems:
        raise invalid(problems)
    for outcome in defaults(facts):
        draft.lines.append(Line(outcome.section if isinstance(outcome, Put) else "system", outcome))
    draft.lines = list(_once(_accepted(line) for line in draft.lines))
    return draft


def _apply(source: Source, rows: Iterable[Row], facts: Facts, draft: Draft, problems: list[str]) -> None:
    table = {(row.section, row.key): row for row in rows}
    kinds = {section for section, _ in table}
    for section, entries in source.sections.items():
        kind = _kind(section, kinds)
        if kind not in kinds:
            hint = nearest(section, kinds)
            problems.append(f"{source.name}:{source.lines[section]}: [{section}]: unknown section{hint}")
            continue
        home = section if kind == "slot.*" else _HOMES.get(kind.removesuffix(".*"), kind)
        why_off = misfit(section, source) if kind == "slot.*" else ""
        if why_off:
            group = Entry(source.name, source.lines[section], section, "", "", source.base)
            draft.lines.append(Line(home, Ask(why_off), group))
        elif kind == "slot.*" and lonely_root(section, source):
            draft.lines.append(Line(home, Ask(_RESCUE), entries["bootname"]))
        for key, entry in entries.items():
            row = table.get((kind, key)) or table.get((kind, "*"))
            if row is None:
                known = [name for where, name in table if where == kind]
                problems.append(f"{entry.place}: [{section}] {key}: unknown key{nearest(key, known)}")
                continue
            entry = replace(entry, secret=row.secret)
            try:
                draft.lines += [
                    Line(_place(outcome, home), outcome, entry, bool(why_off))
                    for outcome in row.translate(entry, facts)
                ]
            except ValueError as error:
                got = "something else" if row.secret else shown(entry.value)
                problems.append(f"{entry.place}: [{section}] {key}: expected {error}, got {got}")


def _kind(section: str, kinds: Iterable[str]) -> str:
    first, dot, _ = section.partition(".")
    return f"{first}.*" if dot and f"{first}.*" in kinds else section


def _place(outcome: Outcome, home: str) -> str:
    return outcome.section if isinstance(outcome, Put) else home


def _accepted(line: Line) -> Iterator[Line]:
    """The line, or, if our table of settings refuses its value, a matter for a person and the line as a comment."""
    put = line.outcome
    if not isinstance(put, Put) or line.off:
        yield line
        return
    attribute = put.section == "server.attributes"
    kind = ATTRIBUTE if attribute else rows_of(put.section)[put.key].kind
    try:
        for value in (put.key, put.value) if attribute else (put.value,):
            kind.accept(value, Path("/"))  # every path is absolute, or the name of a file beside ours
        yield line
    except ValueError:
        yield replace(line, outcome=Ask(f"ota-agent wants {kind.expected} for {put.section}.{put.key}"))
        yield replace(line, off=True)


def _once(groups: Iterable[Iterator[Line]]) -> Iterator[Line]:
    """Each setting once; of two that differ the second becomes a comment and a matter for a person."""
    seen: dict[tuple[str, str], object] = {}
    for group in groups:
        for line in group:
            put = line.outcome
            if not isinstance(put, Put) or line.off:
                yield line
            elif (put.section, put.key) not in seen:
                seen[put.section, put.key] = put.value
                yield line
            elif seen[put.section, put.key] != put.value:
                yield replace(line, outcome=Ask(f"another key says otherwise for {put.section}.{put.key}: choose one"))
                yield replace(line, off=True)
            else:
                yield replace(line, outcome=Gone(f"as {put.section}.{put.key} above"))
