"""What becomes of one key of the old configuration. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.migration.source import Entry, Source

TomlValue = bool | int | float | str | list[str]


@dataclass(frozen=True, slots=True)
class Put:
    """A setting of ours.

    Attributes:
        section: the TOML table.
        key: the key in it.
        value: as TOML has it.
        why: what a reader should know of it; may be empty.
    """

    section: str
    key: str
    value: TomlValue
    why: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """It has no meaning here, and nothing is lost."""

    why: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A person has to do something."""

    what: str


Outcome = Put | Gone | Ask


@dataclass(frozen=True, slots=True)
class Facts:
    """What a row may want to know beside its own key.

    Attributes:
        rauc: ``system.conf``.
        updater: ``config.conf``, if there is one.
        stores_secrets: whether secrets are written to files of their own.
    """

    rauc: Source
    updater: Source | None
    stores_secrets: bool

    @property
    def bootloader(self) -> str:
        """RAUC's name of the bootloader; empty if it is missing."""
        return self.rauc.value("system", "bootloader")


Translate = Callable[["Entry", Facts], Iterable[Outcome]]
Convert = Callable[[str, Path], TomlValue]  # a value and the directory that relative paths start from; ValueError


@dataclass(frozen=True, slots=True)
class Row:
    """What a key means.

    Attributes:
        section: of the old file; ``slot.*`` stands for all of the kind.
        key: ``*`` stands for any.
        translate: what becomes of it; raises ValueError with what was expected.
        secret: its value is shown nowhere.
    """

    section: str
    key: str
    translate: Translate
    secret: bool = False
