"""One run of a device: from a copy until it rests, while power cuts are taken of it; then the truth is asked.

A cut is a machine that stands still while its drives are looked at, and copied if it is to be booted from there; it then goes
on. Now and then it is killed instead, and boots.
"""

from __future__ import annotations

import time
from collections import Counter

from boot.lab.vm import Unheard

from torture.course import Queue, course, step
from torture.freeze import frozen
from torture.hazard import Hazard
from torture.judge import Found, problems, proven
from torture.record import NEW, OLD
from torture.rest import ENDS, Heard, Lived, resting, wrong
from torture.results import Course, Cut
from torture.stamps import Stamps, phases
from torture.story import Told
from torture.victim import Victim

_MOST_BOOTS = 16  # in one run, beside those after a power cut; more than any way back takes
_PATIENCE = 3600.0  # seconds of real time
_LOOK = 2.0  # seconds of real time between looks at a device that may rest
_HEARD = 0.05  # the same: until the server has answered what was sent before the power failed


class Life:
    """One run.

    Args:
        victim: the device, off, as it is to begin.
        hazard: when its power fails.
        queue: what should be copied is added.
        first: the number of the next cut.
        depth: power cuts before.
    """

    def __init__(self, victim: Victim, hazard: Hazard, queue: Queue, *, first: int, depth: int) -> None:
        self._victim, self._hazard, self._queue = victim, hazard, queue
        self._device, self._first, self._depth, self._trials = victim.device, first, depth, depth
        self._steps, self._proven, self._proven_cuts = Counter[str](), False, 0
        self._base = self._device.vm.cpu_seconds
        self._told: list[tuple[float, str]] = []
        self._cuts: list[Cut] = []

    def _now(self) -> float:
        return self._device.vm.cpu_seconds - self._base

    def go(self, number: int, seed: int, since: int, longer: float = 0.0) -> Course:
        """Lets it live; returns what it was like.

        Args:
            number: of the run.
            seed: of the run of the command.
            since: number of the cut that it begins with.
            longer: seconds of real time after it has come to rest.
        """
        broken: list[str] = []
        running = ""
        with Stamps(self._device.vm.console.log, self._now) as self._stamps:
            try:
                self._proven = proven(self._victim.drives.found(), self._victim.story)
                self._power_on()
                self._until_rest()
                self._linger(longer)
                running = self._stamps.boots[-1][1]
                version, end = self._device.version, self._now()
                if version != {"A": OLD, "B": NEW}.get(running):
                    broken.append(f"slot {running} was started, and what runs is {version}")
                self._device.cut()
                broken += self._at_rest(running, self._victim.drives.found(whole=True))
            except (Unheard, AssertionError) as error:
                end = self._now()
                broken.append(f"it does not come to rest: {str(error)[-1500:]}")
            finally:
                self._device.cut()
        return Course(
            number, seed, since, self._depth, tuple(self._cuts), tuple(self._stamps.boots), tuple(self._told),
            tuple(phases(self._stamps.said)), self._status(), running, end, tuple(broken), self._victim.story.agent,
        )  # fmt: skip

    def _status(self) -> str:
        """How the server takes the action; what is new is noted."""
        status = self._device.server.action_status(self._victim.ledger.action)
        if not self._told or self._told[-1][1] != status:
            self._told.append((self._now(), status))
        return status

    def _power_on(self) -> None:
        self._device.server.seen.clear()
        self._stamps.note("OTA: the power is there")
        self._device.power_on(wait=False)

    def _until_rest(self) -> None:
        looked = time.monotonic()

        def rests() -> bool:
            nonlocal looked
            self._take()
            if self._status() not in ENDS or time.monotonic() < looked + _LOOK:
                return False
            looked = time.monotonic()
            return bool(self._device.server.seen and self._stamps.boots) and resting(
                self._victim.drives.found(), self._victim.story, self._stamps.boots[-1][1]
            )

        self._device.vm.until(rests, "it rests", _PATIENCE)

    def _linger(self, seconds: float) -> None:
        end = time.monotonic() + seconds

        def over() -> bool:
            self._take()
            return time.monotonic() > end

        self._device.vm.until(over, "time goes by", _PATIENCE)

    def _take(self) -> None:
        """A power cut, if there is one now."""
        boots = self._stamps.boots
        assert len(boots) <= _MOST_BOOTS + sum(cut.killed for cut in self._cuts), f"the device boots for ever: {boots}"
        if not self._hazard.due(self._stamps.phase, self._now()):
            return
        if self._hazard.kills():
            cut = self._judged(killed=True)
            self._depth += 1
            self._steps[step(cut.course)] += 1
            self._trials += "OTA_TRIAL=" in cut.course
            self._proven_cuts += self._proven
            self._queue.drive(cut)
            self._power_on()
        else:
            with frozen(self._device.vm.process):
                cut = self._judged()
                if self._queue.wants(cut, self._depth + 1):
                    self._victim.save(str(cut.number))
                    if dropped := self._queue.add(cut, self._depth + 1):
                        self._victim.drop(str(dropped.cut.number))
        self._cuts.append(cut)

    def _judged(self, *, killed: bool = False) -> Cut:
        at, phase = self._now(), self._stamps.phase
        if killed:
            self._device.cut()
        time.sleep(_HEARD)
        status = self._status()
        found = self._victim.drives.found(whole=status == "FINISHED")
        phase = phase if phase in ("bootloader", "system") else found.documents.state
        self._proven |= proven(found, self._victim.story)
        broken = problems(found, self._victim.story, Told(0.0, status), before=self._lived.left)
        number = self._first + len(self._cuts)
        return Cut(number, round(at, 2), phase, status, course(found, status), killed, tuple(broken))

    def _at_rest(self, running: str, found: Found) -> list[str]:
        server, action = self._device.server, self._victim.ledger.action
        entries = server.history(action)
        heard = Heard(
            server.action_status(action),
            [entry.type for entry in entries if entry.type in ENDS],
            " / ".join(line for entry in entries for line in entry.messages),
        )
        return wrong(found, self._victim.story, heard, self._lived, running=running)

    @property
    def _lived(self) -> Lived:
        return Lived(self._trials, max(self._steps.values(), default=0), self._proven_cuts)
