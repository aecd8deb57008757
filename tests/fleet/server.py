"""The server that a fleet belongs to: any kind of ``hawkbit.instances`` that has rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hawkbit.instances import running
from support.management import Management

from fleet.device import surroundings
from fleet.rollouts import OF_ALL, OF_THE_REST, Fleet
from fleet.turns import Turns

KINDS = ("development", "hawkbit-old", "hawkbit-new")
# hawkBit looks at its rollouts now and then in real time, and answers several requests at once.
_REAL_PACE, _REAL_AT_ONCE = 60.0, 2


@dataclass(frozen=True, slots=True)
class Place:
    """A running server, and room for devices."""

    kind: str
    url: str
    management: Management
    directory: Path
    version: str = ""

    @contextmanager
    def fleet(self) -> Iterator[Fleet]:
        """200 devices, not switched on yet."""
        real = self.kind != "development"
        turns = Turns(_REAL_PACE, _REAL_AT_ONCE) if real else Turns()
        shares = OF_THE_REST if self.version.startswith("0.3.") else OF_ALL
        try:
            yield Fleet(self.management, self.url, self.directory, turns, shares=shares)
        finally:
            turns.end()


@contextmanager
def place(kind: str, directory: Path) -> Iterator[Place]:
    """Runs a server of this kind, or uses the one that runs (see ``hawkbit.instances``).

    Args:
        kind: one of KINDS.
        directory: for its files and those of the devices.
    """
    options = {"sleep": "00:01:00"} if kind == "development" else {}
    with running(kind, directory, **options) as instance, surroundings():
        assert instance.management is not None
        version = getattr(instance, "version", "")
        yield Place(kind, instance.url, instance.management, directory, version)
