"""Records a whole update of a device in a virtual machine: every write of its drives, and what its server knew when.

The recording begins when the device is switched on for the first time, and ends when it rests after the update.
"""

from __future__ import annotations

import hashlib
import mmap
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from boot.lab.boards import LABELS, Board
from boot.lab.device import Device
from boot.lab.system import System, slot_image

from torture import defects
from torture.medium import mark_of
from torture.places import places
from torture.stamps import Stamps
from torture.story import TRACE, Boot, Story, Told

OLD, NEW, FLOOR = "1.0.0", "2.0.0", "1.5.0"
EXTRA = f"[meta.cra]\nmin-version={FLOOR}\n"
_PATIENCE = 3600  # seconds of real time
_REST = 12.0  # seconds after the end: the file systems write back what is left


class Ledger:
    """What a server knows of one action, and since when."""

    def __init__(self, device: Device) -> None:
        self.told: list[Told] = [Told(0.0, "NONE")]
        self.action = ""
        self._server = device.server
        answer = self._server.answer

        def noted(*request):  # type: ignore[no-untyped-def]  # passed through
            given = answer(*request)
            self.note()
            return given

        self._server.answer = noted  # type: ignore[method-assign]

    def note(self) -> None:
        """Looks, and remembers what is new."""
        if self.action:
            with self._server.lock:
                known = (self._server.action_status(self.action), len(self._server.history(self.action)))
            if (self.told[-1].status, self.told[-1].messages) != known:
                self.told.append(Told(time.time(), *known))


def system(
    board: Board, version: str, altered: Sequence[str] = (), files: Mapping[str, str] = MappingProxyType({})
) -> System:
    """One of the two systems that all updates here are between."""
    return System(version, arch=board.arch, files={**defects.files(altered), **files})


def digests(old: Path, new: Path) -> dict[str, str]:
    """What a slot may hold: SHA-256, and what it is called. Before the update the other slot is empty."""
    with old.open("rb") as before, new.open("rb") as after:
        found = {hashlib.file_digest(before, "sha256").hexdigest(): "old"}
        found[hashlib.file_digest(after, "sha256").hexdigest()] = "new"
    found[hashlib.sha256(bytes(new.stat().st_size)).hexdigest()] = "before"
    return found


def await_agent(device: Device) -> None:
    """Waits until the agent has asked its server since ``server.seen`` was cleared; nobody else asks a system that boots."""
    device.vm.until(lambda: bool(device.server.seen), "the agent asks its server", _PATIENCE)


def record(board: Board, directory: Path, altered: Sequence[str] = ()) -> Path:
    """Lets a device update itself once; returns the directory of the recording.

    Args:
        board: what it is.
        directory: a new one; what is needed for the replay stays in ``recording``.
        altered: defects of its agent, see ``defects``.
    """
    kept = directory / "recording"
    kept.mkdir(parents=True)
    where = places(board)
    graphs, more = _logged([drive.name for drive in where.drives], kept)
    before, after = system(board, OLD, altered), system(board, NEW, altered)
    with Device(directory / "device", board, before, below=graphs, more=more) as device:
        for drive in where.drives:
            _copy(directory / f"device/{drive.name}.img", kept / f"{drive.name}.base")
        ledger = Ledger(device)
        with Stamps(directory / "device/vm/console.log") as stamps:
            device.power_on(wait=False)
            await_agent(device)
            ledger.action = device.publish(device.bundle(after, extra=EXTRA), NEW)
            device.run("systemctl reload ota-agent.service")
            ends = ("FINISHED", "ERROR", "CANCELED")
            device.vm.until(lambda: ledger.told[-1].status in ends, "the update ends", _PATIENCE)
            outcome = ledger.told[-1].status
            device.run("sync")
            end = time.monotonic() + _REST
            device.vm.until(lambda: time.monotonic() > end, "it rests")
        device.cut()
        whole = {name: _mark(slot_image(device.fitted(of))) for name, of in (("old", before), ("new", after))}
        size = device.images[NEW].size
        Story(
            board=board.name, scenario=" ".join(["healthy", *altered]), format=where.format, drives=where.drives,
            copies=where.copies, slots={name: LABELS[name] for name in ("A", "B")}, old="A", new="B", image=size,
            whole={**whole, "before": 0}, state="lib/ota-agent", floor=FLOOR, outcome=outcome, told=tuple(ledger.told),
            boots=tuple(Boot(*each) for each in stamps.boots),
        ).save(kept)  # fmt: skip
    shutil.rmtree(directory / "device")
    return kept


def _logged(drives: Sequence[str], directory: Path) -> tuple[dict[str, list[str]], list[str]]:
    """QEMU's block graphs that log each drive, and its arguments for the logs and the trace."""
    graphs: dict[str, list[str]] = {}
    more = ["-msg", "timestamp=on", "-trace", "bdrv_co_pwritev_part", "-D", str(directory / TRACE)]
    for name in drives:
        log = directory / f"{name}.log"
        log.touch()
        more += ["-blockdev", f"driver=file,filename={log},node-name={name}-log"]
        graphs[name] = ["driver=blklogwrites,file={below}" + f",log={name}-log,log-sector-size=512"]
    return graphs, more


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)


def _mark(image: Path) -> int:
    with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return mark_of(content)
