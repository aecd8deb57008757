"""The boot environment of every bootloader that keeps named variables: rules applied to a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from bootloader_env.order import Changes, Rules, Variables
from bootloader_env.port import BootState, Capabilities

Plan = Callable[[Variables], Changes]


class Store(Protocol):
    """Where variables are kept, byte for byte as the bootloader reads them (characters U+0000 to U+00FF)."""

    def load(self) -> Variables:
        """Reads the variables."""
        ...

    def update(self, plan: Plan) -> bool:
        """Reads, plans and writes the changes in one atomic write, under a lock; returns whether anything was written."""
        ...


class VariableEnv:
    """Implements ``port.BootEnv``, which documents the methods.

    Args:
        store: where the variables are.
        rules: what they mean.
        redundant: whether the store keeps a second copy.
    """

    def __init__(self, store: Store, rules: Rules, *, redundant: bool = False) -> None:
        self._store = store
        self._rules = rules
        self._redundant = redundant

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return Capabilities(
            atomic=True, marker_inside=True, redundant=self._redundant, trial_attempts=self._rules.trial_attempts
        )

    def current(self) -> str:
        """See BootEnv; the boot scripts tell by the kernel's command line only."""
        return ""

    @property
    def store(self) -> Store:
        """Where the variables are kept."""
        return self._store

    def read(self) -> BootState:
        """See BootEnv."""
        return self._rules.state(self._store.load())

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv."""
        self._store.update(lambda now: self._rules.activate(now, target, fallback, trial))

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        self._store.update(lambda now: self._rules.confirm(now, bootname))

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        self._store.update(lambda now: self._rules.revert(now, bad, good))

    def mark_good(self, bootname: str) -> None:
        """See BootEnv."""
        self._store.update(lambda now: self._rules.mark_good(now, bootname))

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv."""
        return False
