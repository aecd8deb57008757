"""Strikes a device at every moment of a path, one after the other, and asks the server what it believes in the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.management import Management

from fleet.device import Device, Reset, Restless
from fleet.judge import lies
from fleet.operator import publish, unique, word
from fleet.paths import NEW, OLD, Path_
from fleet.strikes import KINDS, Killed, Kind, Moments, PowerCut, Strike
from fleet.systems import System
from fleet.turns import Alone

TOKEN = "a-token-of-the-fleet"
_TRIES = 8
_OF_PACE = "spent is saved"  # how often depends on how fast the bytes come: the first and the last report may be one


@dataclass(slots=True)
class Tally:
    """What was tried on one path, and what was wrong."""

    path: str
    moments: int = 0
    cases: int = 0
    reached: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)  # moments of the undisturbed device that no other one came to
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.reached.items()))
        missed = f", not met again: {', '.join(self.missed)}" if self.missed else ""
        return f"{self.path}: {self.cases} cases at {self.moments} moments: {ends}; {len(self.violations)} violations{missed}"


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
        """One device from the first power on to its rest; what is wrong goes into the tally.

        Some moments depend on which of two processes is faster. A blow that found nothing to strike is tried again.
        """
        for _ in range(_TRIES):
            moments = Moments(strike)
            found, end = self._played(moments)
            if moments.struck or not strike.at:
                break
        else:
            if _OF_PACE in strike.at:
                tally.missed.append(strike.at)
            else:
                found.append("the blow did not fall")
        tally.violations += [f"{self._path.name}, {strike.kind} {strike.at}: {each}" for each in found]
        tally.reached[end] = tally.reached.get(end, 0) + 1
        tally.cases += 1
        return moments

    def _played(self, moments: Moments) -> tuple[list[str], str]:
        management, path, name = self._management, self._path, unique(self._path.name)
        management.target(name, token=TOKEN)
        home = self._directory / name
        device = Device(home, name, self._url, ("target", TOKEN), Alone(), System(OLD), moments=moments, rests=True)
        action = management.assign(self._set, name, path.type)
        path.prepare(device, lambda: management.cancel(name, action))
        try:
            device.live()
            said = word(management, name, action, downloads=path.type == "downloadonly")
            end = f"{said.final[-1] if said.final else 'open'} with {device.board.system.version}"
            return lies(device, said, path.truth, path.codes, NEW), end
        except (Exception, Restless, Reset, Killed, PowerCut) as error:  # noqa: BLE001  whatever it is, it is a finding
            return [f"{type(error).__name__}: {error}"], "nothing"
        finally:
            shutil.rmtree(home)


def blows(moments: Moments, kinds: Sequence[Kind] = KINDS) -> Iterator[Strike]:
    """Every blow of these kinds that makes a difference.

    What a kill or a power cut leaves behind is what was written and sent before it. That is the same for all moments from
    one write or request to the next, so each of these is met once, at its last moment.
    """
    for name in moments.names:
        if name.startswith("before") or name == moments.names[-1]:
            yield from (Strike(name, kind) for kind in kinds if kind != "lose")
    if "lose" in kinds:
        yield from (Strike(name, "lose") for name in moments.answers)


def prove(management: Management, url: str, path: Path_, directory: Path, kinds: Sequence[Kind] = KINDS) -> Tally:
    """Plays a path undisturbed, and then once for every blow at it."""
    bench, tally = Bench(management, url, path, directory), Tally(path.name)
    moments = bench.play(tally, Strike())
    tally.moments = len(moments.names)
    for strike in blows(moments, kinds):
        bench.play(tally, strike)
    return tally


__all__ = ["TOKEN", "Bench", "Tally", "blows", "prove"]
