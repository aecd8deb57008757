"""The server that a fleet belongs to: any kind of ``hawkbit.instances`` that has rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hawkbit.instances import Instance, running
from support.management import Management

from fleet.device import surroundings
from fleet.rollouts import Fleet
from fleet.turns import Turns

KINDS = ("development", "hawkbit-old", "hawkbit-new")
# hawkBit looks at its rollouts now and then in real time, and answers several requests at once.
_REAL_PACE, _REAL_AT_ONCE = 60.0, 2


@dataclass(frozen=True, slots=True)
class Place:
    """A running server, and room for devices.

    Args:
        kind: of the server.
        url: of the server.
        management: of the server.
        directory: for the disks of the devices.
        version: of hawkBit, where it is hawkBit.
        of_rest: what it takes the shares of groups for, see ``Fleet``.
    """

    kind: str
    url: str
    management: Management
    directory: Path
    version: str = ""
    of_rest: bool = False

    @contextmanager
    def fleet(self) -> Iterator[Fleet]:
        """200 devices, not switched on yet."""
        real = self.kind != "development"
        turns = Turns(_REAL_PACE, _REAL_AT_ONCE) if real else Turns()
        try:
            yield Fleet(self.management, self.url, self.directory, turns, of_rest=self.of_rest)
        finally:
            turns.end()


@contextmanager
def place(instance: Instance, directory: Path) -> Iterator[Place]:
    """Puts devices beside a running server.

    Args:
        instance: a server of one of KINDS.
        directory: for the disks of the devices.
    """
    assert instance.management is not None
    with surroundings():
        yield Place(
            instance.kind,
            instance.url,
            instance.management,
            directory,
            instance.version,
            "group-percent-of-all" not in instance.features,
        )


@contextmanager
def development(directory: Path) -> Iterator[Instance]:
    """The development server; it asks for a poll each minute."""
    with running("development", directory, sleep="00:01:00") as instance:
        yield instance
