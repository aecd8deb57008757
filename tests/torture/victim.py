"""A device whose power fails, its server, and copies of both as they were at a moment."""

from __future__ import annotations

import pickle
import shutil
import subprocess
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from boot.lab.boards import LABELS, Board
from boot.lab.cache import ROOT
from boot.lab.device import CONTROLLER, Device
from boot.lab.system import slot_image
from boot.lab.vm import blocks

from torture.drives import Drives
from torture.places import places
from torture.record import EXTRA, FLOOR, NEW, OLD, Ledger, logged, system
from torture.story import Story

FACTORY = "factory"
_SERVER = "server"


class Victim:
    """The device, switched off, as it leaves the factory; its server has an update for it.

    Args:
        board: what it is.
        directory: a new one.
        altered: defects of its agent.
        recording: a new directory, for what is needed to replay the first start; None for no recording.
        both: the factory has filled both slots, so that the second one is in the order before the update.
    """

    def __init__(
        self,
        board: Board,
        directory: Path,
        altered: Sequence[str] = (),
        recording: Path | None = None,
        *,
        both: bool = False,
    ) -> None:
        self._directory, self._board = directory, board
        before, after = (system(board, version, altered) for version in (OLD, NEW))
        where = places(board)
        names = [drive.name for drive in where.drives]
        graphs, more = logged(names, recording) if recording else ({}, [])
        self.device = Device(
            directory / "device", board, before, other=before if both else None, below=graphs, more=more
        )
        self.images = {
            name: _held(slot_image(self.device.fitted(each)), directory / name)
            for name, each in (("old", before), ("new", after))
        }
        scenario = " ".join(["healthy", *altered, *(["with both slots filled"] if both else [])])
        self.story = Story(
            board=board.name, scenario=scenario, format=where.format, drives=where.drives,
            copies=where.copies, slots={name: LABELS[name] for name in ("A", "B")}, old="A", new="B",
            image=self.images["new"].stat().st_size, whole={}, state="lib/ota-agent", floor=FLOOR, outcome="",
            agent=changed_last(),
        )  # fmt: skip
        self.drives = Drives(self.device.directory, board.layout, self.story, self.images)
        self.ledger = Ledger(self.device.server)
        module = self.device.server.upload(self.device.bundle(after, extra=EXTRA), version=NEW)
        self.ledger.action = self.device.server.assign(CONTROLLER, module)
        self.save(FACTORY)

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *_: object) -> None:
        self.device.close()

    def not_recorded(self) -> None:
        """What it does from the next start on is not logged any more."""
        drives = (blocks(self.device.directory / f"{name}.img", name) for name in self._board.images)
        self.device.vm.command = [*self._board.command(), *chain.from_iterable(drives)]

    def path(self, name: str) -> Path:
        """The directory of a copy."""
        return self._directory / "copies" / name

    def save(self, name: str) -> None:
        """Copies drives and server as they are; the device must not run meanwhile."""
        self.path(name).mkdir(parents=True)
        with self.device.server.lock:
            (self.path(name) / _SERVER).write_bytes(pickle.dumps(self.device.server.state))
        self._copy(self.device.directory, self.path(name))

    def load(self, name: str) -> None:
        """Puts drives and server back to what they were; it is off."""
        self._copy(self.path(name), self.device.directory)
        with self.device.server.lock:
            # Made by ``save`` in this process.
            self.device.server.state = pickle.loads((self.path(name) / _SERVER).read_bytes())

    def drop(self, name: str) -> None:
        """Removes a copy."""
        shutil.rmtree(self.path(name))

    def _copy(self, source: Path, target: Path) -> None:
        for image in self._board.images:
            sparse(source / f"{image}.img", target / f"{image}.img")


def changed_last() -> str:
    """The commit that changed last what is on the device; unknown where there is no repository."""
    command = ["git", "log", "-1", "--format=%h", "--", "agent", "bootloader_env", "slots", "systemd"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _held(image: Path, path: Path) -> Path:
    """A name of one's own for an image of the cache, where the names of images go that others have not used for long."""
    try:
        path.hardlink_to(image)
    except OSError:  # the cache is on another file system
        sparse(image, path)
    return path


def sparse(source: Path, target: Path) -> None:
    """Copies a file with its holes."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)
