"""What an agent is changed to before it is recorded: another kind of file system, or a defect that must be found.

The defects are those of real updaters: a file renamed before its data is on the medium, a switch in two steps, a slot that
stays selectable while it is written, a success that is told before it is certain.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agent.daemon import store
from agent.daemon.activities import life
from agent.daemon.activities.report import last_word
from agent.daemon.store import Store
from bootloader_env import grub
from bootloader_env.order import TRIAL
from bootloader_env.variables import VariableEnv

Patch = tuple[object, str, Any]


def _fat() -> list[Patch]:
    return [(grub, "filesystem", lambda _path, _mountinfo: "vfat")]


def _rename_before_fsync() -> list[Patch]:
    def save(self: Store, name: str, values: dict[str, object]) -> None:
        path = self._path(name)
        temporary = path.with_suffix(".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, json.dumps(values).encode())
        os.rename(temporary, path)
        os.fsync(fd)
        os.close(fd)
        self._sync_directory()

    return [(Store, "save", save)]


def _in_place() -> list[Patch]:
    def save(self: Store, name: str, values: dict[str, object]) -> None:
        fd = os.open(self._path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, json.dumps(values).encode())
        os.fsync(fd)
        os.close(fd)
        self._sync_directory()

    return [(Store, "save", save)]


def _directory_not_flushed() -> list[Patch]:
    return [(store, "_make", lambda directory: directory.mkdir(exist_ok=True))]


def _switch_in_two_steps() -> list[Patch]:
    real = VariableEnv.activate

    def activate(self: VariableEnv, target: str, *, fallback: str, trial: str) -> None:
        self._store.update(lambda _: {TRIAL: trial})
        real(self, target, fallback=fallback, trial=trial)

    return [(VariableEnv, "activate", activate)]


def _half_written_in_order() -> list[Patch]:
    real = VariableEnv.revert

    def revert(self: VariableEnv, bad: str, good: str) -> None:
        if self.read().trial:
            real(self, bad, good)

    return [(VariableEnv, "revert", revert)]


def _success_too_early() -> list[Patch]:
    real = life.confirming

    def confirming(context: Any, record: Any) -> Any:
        context.server.say(last_word(replace(record, outcome="success")))
        context.server.deliver()
        return real(context, record)

    return [(life, "confirming", confirming)]


def _floor_too_early() -> list[Patch]:
    real = life.confirming

    def confirming(context: Any, record: Any) -> Any:
        context.knowledge.confirmed(record.min_version, record.signed_at)
        return real(context, record)

    return [(life, "confirming", confirming)]


DEFECTS: dict[str, Callable[[], list[Patch]]] = {
    "rename-before-fsync": _rename_before_fsync,
    "document-in-place": _in_place,
    "directory-not-flushed": _directory_not_flushed,
    "switch-in-two-steps": _switch_in_two_steps,
    "half-written-in-order": _half_written_in_order,
    "success-too-early": _success_too_early,
    "floor-too-early": _floor_too_early,
}
MAKES_ITS_DIRECTORY = frozenset(
    {"directory-not-flushed"}
)  # seen only where the directory for the state is not there yet
_ALTERATIONS = {"fat": _fat, **DEFECTS}


def patches(names: Sequence[str]) -> list[Patch]:
    """What to set where.

    Raises:
        AttributeError: something to be altered is not there any more.
    """
    found = [patch for name in names for patch in _ALTERATIONS[name]()]
    for place, attribute, _ in found:
        getattr(place, attribute)
    return found
