"""What a recording needs of the machine: every write of its drives, and what its server knew when."""

from __future__ import annotations

import dataclasses
import mmap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from boot.lab.boards import Board
from boot.lab.system import System

from agent.demo.server import DevServer
from torture import defects
from torture.medium import mark_of
from torture.stamps import FILES
from torture.story import TRACE, Boot, Story, Told

OLD, NEW, FLOOR = "1.0.0", "2.0.0", "1.5.0"
_OF_ITS_OWN = 1024 * 1024  # bytes; in few blocks, a slot would hold the old system until it holds the new one
EXTRA = f"[meta.cra]\nmin-version={FLOOR}\n"


class Ledger:
    """What a server knows of one action, and since when.

    Attributes:
        told: what is known of the action, by the host's clock.
        action: its id; nothing is noted before it is set.
    """

    def __init__(self, server: DevServer) -> None:
        self.told: list[Told] = [Told(0.0, "NONE")]
        self.action = ""
        self._server = server
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


def system(board: Board, version: str, altered: Sequence[str] = ()) -> System:
    """One of the two systems of all updates here. They differ in two megabytes, and tell on the console what they do."""
    own = {"usr/share/board/own": Random(version).randbytes(_OF_ITS_OWN).hex()}
    return System(version, arch=board.arch, files={**defects.files(altered), **FILES, **own})


def logged(drives: Sequence[str], directory: Path) -> tuple[dict[str, list[str]], list[str]]:
    """QEMU's block graphs that log each drive into a directory, and its arguments for the logs and the trace."""
    directory.mkdir(parents=True)
    graphs: dict[str, list[str]] = {}
    more = ["-msg", "timestamp=on", "-trace", "bdrv_co_pwritev_part", "-D", str(directory / TRACE)]
    for name in drives:
        log = directory / f"{name}.log"
        log.touch()
        more += ["-blockdev", f"driver=file,filename={log},node-name={name}-log"]
        # The head of a log says how many entries there are. Nobody flushes a card, and QEMU is killed in the end.
        options = f"log={name}-log,log-sector-size=512,log-super-update-interval=1"
        graphs[name] = ["driver=blklogwrites,file={below}," + options]
    return graphs, more


def finish(
    directory: Path,
    story: Story,
    images: Mapping[str, Path],
    *,
    told: Sequence[Told],
    boots: Sequence[tuple[float, str]],
) -> None:
    """Writes the story of a recording; nothing is logged any more.

    Args:
        directory: with the logs and the base images.
        story: what was known before the first start.
        images: what a slot may hold, by name.
        told: by the host's clock.
        boots: the same, and boot names.
    """
    marks = {name: _mark(image) for name, image in images.items()}
    dataclasses.replace(
        story, whole={**marks, "before": 0}, outcome=told[-1].status, told=tuple(told),
        boots=tuple(Boot(*each) for each in boots),
    ).save(directory)  # fmt: skip


def _mark(image: Path) -> int:
    with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return mark_of(content)
