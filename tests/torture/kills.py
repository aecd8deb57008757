"""Updates of a device in a virtual machine that is killed at random moments, until the device rests; then the truth is asked.

A cycle begins with a snapshot of a device that waits for an update, so that it costs no boot. It is given one, QEMU is killed
once to three times, and each time the device boots from what the drives hold. Every time these are looked at before.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boot.lab.boards import ATTEMPTS, LABELS, Board
from boot.lab.device import CONTROLLER, Device
from boot.lab.system import slot_image
from boot.lab.vm import Unheard

from torture.aims import Aim, Seen, drawn, due
from torture.drives import Drives
from torture.judge import Found, problems
from torture.places import places
from torture.record import EXTRA, FLOOR, NEW, OLD, await_agent, digests, system
from torture.results import Cut, Cycle, Kills
from torture.stamps import FILES, Stamps, phases
from torture.story import Story, Told

READY = "ready"
_ENDS = ("FINISHED", "ERROR", "CANCELED")
_MOST_BOOTS = 16  # in one cycle; more than any way back takes
_IDLE = 10.0  # seconds of real time: a device that does nothing uses no CPU seconds
_SLOW = 40.0  # seconds of real time for a CPU second, on a machine that is busy


class Victim:
    """A device that was made for this.

    Args:
        board: what it is.
        directory: a new one.
        seed: of the run.
        altered: defects of its agent.
    """

    def __init__(self, board: Board, directory: Path, seed: int, altered: Sequence[str] = ()) -> None:
        self._board, self._seed = board, seed
        before, after = (system(board, version, altered, FILES) for version in (OLD, NEW))
        self._device = Device(directory, board, before, form="qcow2")
        images = [slot_image(self._device.fitted(each)) for each in (before, after)]
        size = images[1].stat().st_size
        where = places(board)
        self._story = Story(
            board=board.name, scenario=" ".join(["killed", *altered]), format=where.format, drives=where.drives,
            copies=where.copies, slots={name: LABELS[name] for name in ("A", "B")}, old="A", new="B", image=size, whole={},
            state="lib/ota-agent", floor=FLOOR, outcome="",
        )  # fmt: skip
        self._drives = Drives(self._device, self._story, digests(*images))
        self._module = self._device.server.upload(self._device.bundle(after, extra=EXTRA), version=NEW)
        self._server = b""

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *_: object) -> None:
        self._device.close()

    def prepare(self, kills: Kills) -> None:
        """Lets the device come to rest, takes the snapshot; and the first time an update without a cut."""
        device = self._device
        device.power_on(wait=False)
        await_agent(device)
        device.vm.until(lambda: self._rests("A"), "the device rests", 1800)
        device.run("sync")
        device.vm.snapshot(READY)
        with device.server.lock:
            self._server = pickle.dumps(device.server.state)
        device.cut()
        if not kills.track:
            rehearsal = _Run(self, [])
            cycle = rehearsal.go(0)
            if cycle.broken or cycle.status != "FINISHED":
                raise RuntimeError(f"without a power cut the update ends as {cycle.status}: {cycle.broken}")
            kills.track, kills.length = phases(rehearsal.said), cycle.end

    def cycle(self, kills: Kills) -> Cycle:
        """One update with power cuts; the next number of the board."""
        number = 1 + max((each.number for each in kills.cycles), default=0)
        return _Run(self, drawn(self._seed, self._board.name, number, kills.length)).go(number)

    def _rests(self, name: str) -> bool:
        """Whether a device does nothing any more, and the slot that runs has its attempts."""
        variables = self._drives.environment().variables or {}
        left, full = f"BOOT_{name}_LEFT", f"{ATTEMPTS:x}"
        if self._story.format == "grub":
            left, full = f"{name}_TRY", "0"
        idle = self._device.state == "idle" and not self._device.document("outbox").get("entries")
        return idle and variables.get(left) == full and not variables.get("OTA_TRIAL")


class _Run:
    """One cycle."""

    def __init__(self, victim: Victim, aims: Sequence[Aim]) -> None:
        self._victim, self._aims = victim, aims
        self._device, self._story = victim._device, victim._story
        self.said: list[tuple[float, str]] = []
        self._told: list[tuple[float, str]] = []
        self._cuts: list[Cut] = []
        self._action = ""

    def go(self, number: int) -> Cycle:
        device, victim = self._device, self._victim
        base = device.vm.cpu_seconds
        self._now = lambda: device.vm.cpu_seconds - base
        with device.server.lock:
            device.server.state = pickle.loads(victim._server)
        broken: list[str] = []
        running = ""
        try:
            with Stamps(device.vm.console.log, self._now) as self._stamps:
                device.power_on("-loadvm", READY, wait=False)
                self.said = self._stamps.said
                self.said.append((0.0, "Linux version"))
                self._action = device.server.assign(CONTROLLER, victim._module)
                device.run("systemctl reload ota-agent.service")
                for aim in self._aims:
                    self._cut(aim)
                running = self._come_to_rest()
                end = self._now()
                device.run("sync")
            device.cut()
            broken += self._at_rest(running, victim._drives.found(whole=True))
        except (Unheard, AssertionError) as error:
            end = self._now()
            broken.append(f"it does not come to rest: {str(error)[-1500:]}")
        finally:
            device.cut()
        return Cycle(
            number, victim._seed, tuple(self._cuts), tuple(self._stamps.boots), tuple(self._told),
            device.server.action_status(self._action), running, end, tuple(broken),
        )  # fmt: skip

    def _look(self) -> str:
        """The status on the server; a new one is noted."""
        status = self._device.server.action_status(self._action)
        if not self._told or self._told[-1][1] != status:
            self._told.append((self._now(), status))
        return status

    def _cut(self, aim: Aim) -> None:
        device, first = self._device, len(self._stamps.boots)
        cold = bool(self._cuts)
        resets = device.vm.resets - cold

        def seen() -> Seen:
            trial = any(name == self._story.new for _, name in self._stamps.boots[first:])
            return Seen(self._stamps.phase, device.vm.resets - resets, trial, self._look() in _ENDS)

        device.vm.until(lambda: due(aim, seen()), f"a moment for {aim.name}", 1800)
        begun, clock = self._now(), time.monotonic()
        while self._now() - begun < aim.delay:
            late = time.monotonic() - clock
            if late > _SLOW * aim.delay or (late > _IDLE and self._look() in _ENDS and self._stamps.phase == "idle"):
                break
            device.vm.pause()
        at, phase = self._now(), self._stamps.phase
        device.cut()
        status = self._look()
        with device.server.lock:
            told = Told(0.0, status)
        found = self._victim._drives.found(whole=status == "FINISHED")
        phase = phase if phase in ("bootloader", "system") else found.documents.state
        self._cuts.append(Cut(at, aim.name, phase, status, tuple(problems(found, self._story, told))))
        device.server.seen.clear()
        device.power_on(wait=False)

    def _come_to_rest(self) -> str:
        """Waits for the end and for rest; returns the slot that runs."""
        device = self._device

        def ended() -> bool:
            assert len(self._stamps.boots) <= _MOST_BOOTS, f"the device boots for ever: {self._stamps.boots}"
            return self._look() in _ENDS

        device.vm.until(ended, f"action {self._action} ends", 3600)
        await_agent(device)
        running = ""

        def rests() -> bool:
            nonlocal running
            running = {OLD: "A", NEW: "B"}.get(device.version, "")
            return bool(running) and self._victim._rests(running)

        def calm() -> bool:
            try:
                return rests()
            except Unheard:  # it was reset meanwhile
                return False

        device.vm.until(calm, "the device rests", 1800)
        return running

    def _at_rest(self, running: str, found: Found) -> list[str]:
        """What is wrong in the end."""
        story, server = self._story, self._device.server
        status, entries = server.action_status(self._action), server.history(self._action)
        broken = problems(found, story, Told(0.0, status))
        variables: Any = found.environment.variables or {}
        order = variables.get("ORDER" if story.format == "grub" else "BOOT_ORDER", "").split()
        if order[:1] != [running]:
            broken.append(f"slot {running} runs, but the order is {order}")
        ends = [entry.type for entry in entries if entry.type in _ENDS]
        if len(ends) != 1:
            broken.append(f"the server has heard {ends}")
        if (status == "FINISHED") != (running == story.new):
            broken.append(f"the server takes the action for {status}, but slot {running} runs")
        if running == story.new and found.slots[story.new] != "new":
            broken.append("the slot that runs does not hold the image")
        outcome = found.documents.values.get("ending", {}).get("outcome")
        if outcome != {"FINISHED": "success", "ERROR": "failure"}.get(status):
            broken.append(f"the device remembers {outcome}, the server was told {status}")
        if story.format != "grub" and len(self._cuts) <= 2 and status != "FINISHED":
            told = " / ".join(line for entry in entries for line in entry.messages)
            broken.append(f"a healthy update ended as {status} after {len(self._cuts)} power cuts: {told[-800:]}")
        return broken
