"""Completion of ``ota-bundle`` for bash and zsh, written by shtab from the tree of argparse."""

from __future__ import annotations

import argparse

import shtab

from agent.bundler.cli import parser

_DIRECTORIES = ("DIR", "directory")
_NO_FILES = ("TEXT", "ISO", "SECONDS", "COMMAND", "LABEL.KEY=VALUE", "days", "name")


def completion(shell: str) -> str:
    """The script for ``bash`` or ``zsh``."""
    top = parser()
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _say_what_is_a_file(each)
    return str(shtab.complete(top, shell=shell))


def _say_what_is_a_file(command: argparse.ArgumentParser) -> None:
    for action in command._actions:
        if action.nargs == 0 or action.choices:
            continue
        name = str(action.metavar or action.dest)
        if name in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif name not in _NO_FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
