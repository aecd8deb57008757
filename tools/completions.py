"""Completion of ``ota-bundle`` and ``ota-agent`` for bash, zsh and fish, written by shtab from the trees of argparse."""

from __future__ import annotations

import argparse

import shtab

_DIRECTORIES = ("DIR", "directory")
_NO_FILES = ("TEXT", "ISO", "SECONDS", "COMMAND", "LABEL.KEY=VALUE", "days", "name", "bus", "SLOT")


def completion(top: argparse.ArgumentParser, shell: str) -> str:
    """The script of a command line for ``bash``, ``zsh`` or ``fish``."""
    _say_what_is_a_file(top)
    return str(shtab.complete(top, shell=shell))


def _say_what_is_a_file(command: argparse.ArgumentParser) -> None:
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _say_what_is_a_file(each)
        if action.nargs == 0 or action.choices:
            continue
        name = str(action.metavar or action.dest)
        if name in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif name not in _NO_FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
