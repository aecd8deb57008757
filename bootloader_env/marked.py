"""Keeps the promises of ``port.BootEnv`` for bootloaders that cannot hold our marker.

The marker lies in a file, the choice of the slot in the bootloader, and a power cut can fall between two writes. So the
marker is written twice around the activation, and it counts only together with what the bootloader says:

    prepared  →  the bootloader is told  →  active  →  (trial)  →  the bootloader is told  →  removed

- *prepared* alone proves nothing: the cut may have come before the bootloader was told. It counts when the target is the
  next choice of the bootloader or when the target runs; neither can be without an activation, because staging takes the
  target out of the choice.
- *active* counts until the bootloader itself proves that the trial has ended (``Loader.settled``).
- After ``confirm`` or ``revert`` a cut can leave a marker too many. It makes the same call run once more, which changes
  nothing. If the record is lost as well, the next ``mark_good`` removes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from bootloader_env.marker_file import ACTIVE, PREPARED, Marker, MarkerFile
from bootloader_env.order import check_trial
from bootloader_env.port import BootEnv, BootState, Capabilities, Loader


class Marked:
    """Implements ``port.BootEnv``, which documents the methods.

    Args:
        loader: the bootloader.
        file: where the marker lies.
        booted: the boot name of the slot that runs. A marker begins with the boot name of its target and a comma.
    """

    def __init__(self, loader: Loader, file: MarkerFile, *, booted: str) -> None:
        self._loader = loader
        self._file = file
        self._booted = booted

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return self._loader.capabilities

    def current(self) -> str:
        """See BootEnv."""
        return self._loader.current()

    def read(self) -> BootState:
        """See BootEnv; raises also ``bootenv.marker-invalid``."""
        state = self._loader.read()
        return replace(state, trial=self._trial(state))

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv."""
        check_trial(trial)
        if not trial:
            self._file.remove()
            self._loader.activate(target, fallback=fallback, trial="")
            return
        done = self._file.read() == Marker(ACTIVE, trial) and self._loader.read().primary == target
        if not done:
            self._file.write(PREPARED, trial)
        self._loader.activate(target, fallback=fallback, trial="")
        if not done:
            self._file.write(ACTIVE, trial)

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        self._loader.confirm(bootname)
        self._file.remove()

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        self._loader.revert(bad, good)
        self._file.remove()

    def mark_good(self, bootname: str) -> None:
        """See BootEnv; a marker that counts for nothing is removed.

        ``ota-agent-leave-trial`` does not ask the bootloader: it would take it for a trial in every boot.
        """
        self._loader.mark_good(bootname)
        if self._file.read() is not None and not self._trial(self._loader.read()):
            self._file.remove()

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv."""
        return self._loader.heal(bootname, good)

    def _trial(self, state: BootState) -> str:
        marker = self._file.read()
        if marker is None:
            return ""
        target = marker.trial.partition(",")[0]
        armed = state.primary == target != self._booted
        if not armed and self._loader.settled(target):
            return ""
        return marker.trial if armed or marker.state == ACTIVE or target == self._booted else ""


def with_marker(env: BootEnv, path: str, *, booted: str) -> BootEnv:
    """Returns an environment that keeps the trial, whether its bootloader has a place for it or not.

    Args:
        env: from ``choose.open_env``.
        path: of the marker, on a file system that both slots share.
        booted: the boot name of the slot that runs.
    """
    if env.capabilities.marker_inside:
        return env
    return Marked(cast("Loader", env), MarkerFile(path), booted=booted)  # what cannot hold a marker is a Loader
