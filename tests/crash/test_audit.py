"""A power cut at every write of the audit log: what was noted is there, in order, and half a record is told as what it is."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from support.audit import Clock, opened

from agent.audit.files import Files
from agent.audit.log import AuditLog
from crash.content import Content
from crash.disk import Disk, State, fingerprint
from crash.interpose import Interposer, same
from crash.record import Told, names_of, nodes_of

_NOTES = 20
_DEVICE: State = {"state/record.json": Content.of(b"{}")}


@dataclass(frozen=True, slots=True)
class Cut:
    """What a power cut left behind, and the number of the last note that had returned before."""

    state: State
    noted: int


def run(root: Path, before: Cut, work: Callable[[Callable[[int], None]], None], draws: int) -> Iterator[Cut]:
    """Works on a disk, and cuts the power at every moment of that, with several draws of what survives each time.

    Args:
        root: where the disk is, as it was left by the power cut before.
        before: that power cut.
        work: does it, and tells the number of each note that has returned.
        draws: so many.
    """
    nodes, directories = nodes_of(before.state)
    interposer = Interposer(root, names_of(nodes, directories))
    with interposer.recording():
        work(lambda number: interposer.tell(str(number).encode()))
    disk, noted = Disk(nodes, interposer.directories()).copy(), before.noted
    timeline = interposer.timeline()
    for number, what in enumerate(timeline):
        if isinstance(what, Told):
            noted = int(what.state)
        else:
            disk.apply(what)
        for mode, draw in [("nothing", 0), ("everything", 0), *(("", draw) for draw in range(draws))]:
            yield Cut(disk.survivors(Random(f"{number}/{draw}"), mode), noted)
    assert same(root, disk.survivors(Random(0), "everything")) == "", "something was written that was not seen"


def put(root: Path, state: State) -> Path:
    """Makes a disk hold this, and nothing else; returns the directory of the log."""
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / "state").mkdir(exist_ok=True)
    for name, content in state.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.data())
    return root / "state" / "audit"


def log_in(directory: Path, boot: int) -> AuditLog:
    return opened(directory, boot_id=f"boot-{boot}", segments=3, clock=Clock())


def noting(directory: Path, boot: int, count: int, heads: dict[int, str]) -> Callable[[Callable[[int], None]], None]:
    """Notes something again and again, over several files and the first ones that are removed."""

    def work(told: Callable[[int], None]) -> None:
        log = log_in(directory, boot)
        for number in range(count):
            log.note("confirmed", f"boot {boot}, note {number}")
            heads[log.count] = log.head.hex()
            told(log.count)
            if number == 6:
                for recording in (False, True):
                    log.switch(recording, "uid 1000")
                    heads[log.count] = log.head.hex()
                    told(log.count)

    return work


def judged(directory: Path, cut: Cut, heads: dict[int, str], boot: int, more: int = 1) -> None:
    """What was noted before a power cut is there; the log is in order before and after it is gone on with.

    ``more`` records may be there besides: what was being written, and at an earlier cut, and the note of that.
    """
    log = log_in(directory, boot)
    assert log.verify() == (True, 0)
    assert cut.noted <= log.count <= cut.noted + more
    kept = {at.count: at.head for at, _ in Files(directory).steps()}
    assert cut.noted == 0 or kept[cut.noted] == heads[cut.noted]
    found = log.count
    log.switch(True, "uid 1000")  # it was off for a moment
    log.note("confirmed", "afterwards")
    events = [json.loads(text)["event"] for text in log.tail(log.count - found)]
    assert [each for each in events if each not in ("audit-torn", "audit-on")] == ["confirmed"]
    assert log.verify() == (True, 0)
    assert log_in(directory, boot + 1).verify() == (True, 0)


def distinct(cuts: Iterator[Cut]) -> list[Cut]:
    found: dict[bytes, Cut] = {}
    for cut in cuts:
        found.setdefault(fingerprint(cut.state) + b"%d" % cut.noted, cut)
    return list(found.values())


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Two disks in memory that need no waiting for: what survives is decided here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    with tempfile.TemporaryDirectory(prefix="ota-crash-", dir="/dev/shm") as memory:
        one, two = Path(memory, "one"), Path(memory, "two")
        one.mkdir()
        two.mkdir()
        yield one, two


def first_cuts(disk: Path, heads: dict[int, str], draws: int) -> list[Cut]:
    return distinct(run(disk, Cut(_DEVICE, 0), noting(put(disk, _DEVICE), 1, _NOTES, heads), draws))


@pytest.mark.timeout(300)
@pytest.mark.req("C16", "N06", "S08")
def test_no_power_cut_loses_what_was_noted_or_looks_like_tampering(disks: tuple[Path, Path]) -> None:
    heads: dict[int, str] = {}
    cuts = first_cuts(disks[0], heads, 10)
    assert len(cuts) > 300 and max(heads) == _NOTES + 2
    for cut in cuts:
        judged(put(disks[1], cut.state), cut, heads, 2)


@pytest.mark.timeout(300)
@pytest.mark.req("C16", "S08")
def test_nor_does_a_second_one_while_the_log_is_put_in_order_after_the_first(disks: tuple[Path, Path]) -> None:
    heads: dict[int, str] = {}
    one, two = disks
    again = 0
    for cut in Random(1).sample(first_cuts(one, heads, 3), 15):
        mine = dict(heads)
        for second in distinct(run(one, cut, noting(put(one, cut.state), 2, 1, mine), draws=2)):
            judged(put(two, second.state), second, mine, 3, more=3)
            again += 1
    assert again > 60


@pytest.mark.req("S08")
@pytest.mark.parametrize("defect", ["data-not-flushed", "directory-not-flushed"])
def test_a_missing_flush_would_be_found(disks: tuple[Path, Path], defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Files._write
    if defect == "data-not-flushed":
        monkeypatch.setattr(Files, "_write", staticmethod(lambda *given, sync: real(*given, sync=False)))
    else:
        monkeypatch.setattr(Files, "_sync", staticmethod(lambda _: None))
    heads: dict[int, str] = {}
    cuts = first_cuts(disks[0], heads, 3)
    monkeypatch.undo()

    def all_are_in_order() -> None:
        for cut in cuts:
            judged(put(disks[1], cut.state), cut, heads, 2)

    with pytest.raises(AssertionError):
        all_are_in_order()
