"""How much time has passed since something began, over restarts and whatever happens to the date. Pure.

Within a boot, CLOCK_BOOTTIME counts: it never jumps and goes on in suspend. The time for which the device was off is known
only if the date was right before and is right again: it is added then, and never believed to be longer than a month at once.
Where the date is not to be trusted, only the time counts for which the device was on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

_LONGEST_OFF = 30 * 86400.0  # seconds


@dataclass(frozen=True, slots=True)
class Moment:
    """What the clocks say: this boot, seconds since it, seconds since 1970, and whether those are to be trusted."""

    boot_id: str
    boottime: float
    wall: float
    trusted: bool


@dataclass(frozen=True, slots=True)
class Meter:
    """A count of seconds.

    Attributes:
        elapsed: the count, up to ``boottime`` seconds of the boot ``boot_id``.
        boot_id: see there.
        boottime: see there.
        wall: seconds since 1970 at that moment, as far as the date was trusted in the boot ``wall_boot``; 0: it never was.
        wall_elapsed: what the count was then.
        wall_boot: see there.
    """

    elapsed: float = 0.0
    boot_id: str = ""
    boottime: float = 0.0
    wall: float = 0.0
    wall_elapsed: float = 0.0
    wall_boot: str = ""

    def at(self, now: Moment) -> Meter:
        """The count now."""
        same = self.boot_id == now.boot_id
        passed = max(0.0, now.boottime - self.boottime if same else now.boottime)
        elapsed = self.elapsed + passed
        if not now.trusted:
            return replace(self, elapsed=elapsed, boot_id=now.boot_id, boottime=now.boottime)
        wall = now.wall
        if self.wall_boot == now.boot_id:  # set back within a boot, it would make the time off seem longer
            wall = max(wall, self.wall + elapsed - self.wall_elapsed)
        elif self.wall:
            away = now.wall - self.wall - (elapsed - self.wall_elapsed)
            elapsed += min(max(0.0, away), _LONGEST_OFF)
        return Meter(elapsed, now.boot_id, now.boottime, wall, elapsed, now.boot_id)


def started(now: Moment) -> Meter:
    """A count that begins now."""
    return Meter(0.0, now.boot_id, now.boottime).at(now)


def to_json(meter: Meter) -> dict[str, object]:
    """Plain values for the store."""
    return dict(asdict(meter))


def from_json(values: Mapping[str, object]) -> Meter:
    """Reads what ``to_json`` wrote; raises ValueError when it is something else."""
    found: dict[str, object] = {}
    for item in fields(Meter):
        value = values.get(item.name)
        if isinstance(item.default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(item.default) or (isinstance(value, float) and not 0 <= value < 1e15):
            raise ValueError(f"{item.name} is {value!r:.40}")
        found[item.name] = value
    return Meter(**found)  # type: ignore[arg-type]  # each value was checked against its field above
