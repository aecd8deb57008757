"""A boot environment that tells when it may have changed, whoever changed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bootloader_env.port import BootEnv, BootState, Capabilities


class Watched:
    """The same boot environment; ``told`` is called after each call that may have written to it, also when that failed.

    Args:
        env: the environment.
    """

    def __init__(self, env: BootEnv) -> None:
        self._env = env
        self.told: Callable[[], None] = lambda: None

    @property
    def capabilities(self) -> Capabilities:
        """See ``BootEnv``, as the methods below."""
        return self._env.capabilities

    def current(self) -> str:
        """The slot that the bootloader says it has booted."""
        return self._env.current()

    def read(self) -> BootState:
        """The environment as the bootloader will see it."""
        return self._env.read()

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """Makes ``target`` boot next."""
        try:
            self._env.activate(target, fallback=fallback, trial=trial)
        finally:
            self.told()

    def confirm(self, bootname: str) -> None:
        """Makes the slot good, and ends the trial."""
        try:
            self._env.confirm(bootname)
        finally:
            self.told()

    def revert(self, bad: str, good: str) -> None:
        """Makes ``good`` boot next, ``bad`` not at all."""
        try:
            self._env.revert(bad, good)
        finally:
            self.told()

    def mark_good(self, bootname: str) -> None:
        """Gives the slot full attempts again."""
        try:
            self._env.mark_good(bootname)
        finally:
            self.told()

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """Makes a new environment in place of one that holds nothing valid."""
        try:
            return self._env.heal(bootname, good)
        finally:
            self.told()
