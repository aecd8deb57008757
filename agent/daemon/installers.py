"""Lends installers to the activities; after an inspection one goes on to the installation.

That is, if it follows at once: starting it costs more than many a verification, above all on a slow processor. But it
holds memory and rights, so none is kept while the daemon waits for anything: whoever is going to wait calls ``dismiss``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.daemon.children import Child


class Installers:
    """Starts installers, and keeps one between two requests.

    Args:
        spawn: starts a child.
    """

    def __init__(self, spawn: Callable[[str], Child]) -> None:
        self._spawn = spawn
        self._kept: Child | None = None

    @contextmanager
    def lent(self, *, keep: bool = False) -> Iterator[Child]:
        """Lends the kept installer, or a new one.

        Args:
            keep: another request follows; after an error it is ended all the same.
        """
        child, self._kept = self._kept, None
        if child is not None and not child.alive():
            child.close()
            child = None
        child = child or self._spawn("installer")
        try:
            yield child
        except BaseException:
            child.close()
            raise
        if keep:
            self._kept = child
        else:
            child.close()

    def dismiss(self) -> None:
        """Ends what is kept."""
        child, self._kept = self._kept, None
        if child is not None:
            child.close()
