"""What a command of ``ota-bundle`` returns, and what it may ask of its caller."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

Step = Callable[[str, int, int], None]
"""Told what is being done, how many bytes are done, and of how many (0: unknown)."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a command.

    Args:
        lines: for a person.
        data: for a program, with the same facts.
        warnings: what did not stop the command, but will matter.
    """

    lines: Sequence[str]
    data: Mapping[str, object]
    warnings: Sequence[str] = field(default=())


class Command(Protocol):
    """A module of ``agent.bundler.commands``: one subcommand."""

    NAME: str
    ABOUT: str
    EXAMPLES: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the options of the command."""

    def run(self, options: argparse.Namespace, step: Step, now: datetime) -> Report:
        """Does the work; raises OtaError or OSError."""
