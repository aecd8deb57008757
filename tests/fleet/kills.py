"""Strikes a device at every moment of a path, one after the other, and asks the server what it believes in the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.management import Management

from fleet.device import Device
from fleet.judge import lies
from fleet.operator import publish, unique, word
from fleet.paths import NEW, OLD, Path_
from fleet.strikes import Moments, Strike
from fleet.systems import System
from fleet.turns import Alone

TOKEN = "a-token-of-the-fleet"


@dataclass(slots=True)
class Tally:
    """What was tried on one path, and what was wrong."""

    path: str
    moments: int = 0
    cases: int = 0
    reached: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.reached.items()))
        return f"{self.path}: {self.cases} cases at {self.moments} moments: {ends}; {len(self.violations)} violations"


class Bench:
    """Plays one path on fresh devices against one server.

    Args:
        management: of the server.
        url: of the server.
        path: what happens.
        directory: for bundles and disks.
    """

    def __init__(self, management: Management, url: str, path: Path_, directory: Path) -> None:
        self._management, self._url, self._path, self._directory = management, url, path, directory
        self._set = publish(management, path.bundle(directory / "bundles"), NEW)

    def play(self, tally: Tally, strike: Strike) -> Moments:
        """One device from the first power on to its rest; what is wrong goes into the tally."""
        management, path = self._management, self._path
        name = unique(path.name)
        management.target(name, token=TOKEN)
        moments = Moments(strike)
        moments.open = True
        home = self._directory / name
        device = Device(home, name, self._url, ("target", TOKEN), Alone(), System(OLD), moments=moments, rests=True)
        action = management.assign(self._set, name, path.type)
        path.prepare(device, lambda: management.cancel(name, action))
        where = f"{path.name}, {strike.kind} at moment {strike.at}"
        try:
            device.live()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            tally.violations.append(f"{where} ({moments.struck}): {type(error).__name__}: {error}")
        else:
            said = word(management, name, action, downloads=path.type == "downloadonly")
            found = lies(device, said, path.truth, path.codes, NEW)
            tally.violations += [f"{where} ({moments.struck}): {each}" for each in found]
            end = f"{'+'.join(said.final) or 'open'} with {device.board.system.version}"
            tally.reached[end] = tally.reached.get(end, 0) + 1
        shutil.rmtree(home)
        tally.cases += 1
        if strike.at >= 0 and not moments.struck:
            tally.violations.append(f"{where}: the blow did not fall")
        return moments


def blows(moments: Moments) -> Iterator[Strike]:
    """Every blow that makes a difference.

    What a kill or a power cut leaves behind is what was written and sent before it. That is the same for all moments from
    one write or request to the next, so each of these is met once, at its last moment.
    """
    for number, name in enumerate(moments.names):
        if name.startswith("before") or number == len(moments.names) - 1:
            yield Strike(number, "kill")
            yield Strike(number, "power")
    for number in moments.answers:
        yield Strike(number, "lose")


def prove(management: Management, url: str, path: Path_, directory: Path) -> Tally:
    """Plays a path undisturbed, and then once for every blow at it."""
    bench, tally = Bench(management, url, path, directory), Tally(path.name)
    moments = bench.play(tally, Strike())
    tally.moments = len(moments.names)
    for strike in blows(moments):
        bench.play(tally, strike)
    return tally


__all__ = ["TOKEN", "Bench", "Tally", "blows", "prove"]
