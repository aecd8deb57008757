"""Promises of boot-mbr-switch and boot-gpt-switch, on disks in memory. Real ones: tests/integration."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.media import MemoryDisk, Watcher, after_cuts, content
from support.partition_tables import DISK, HALF, MIB, REGION, gpt_boots, mbr_boots, slot, table, tool

from slots.errors import SlotError
from slots.handlers.boot_tables import read_gpt, read_mbr
from slots.handlers.halves import Span
from slots.handlers.partition_switch import PartitionSwitch, handler
from slots.handlers.port import Switching
from slots.model import Slot

OLD = b"old" + random.Random(1).randbytes(100_000)
NEW = b"new" + random.Random(2).randbytes(200_001)
FIRST, SECOND = Span(MIB, HALF), Span(MIB + HALF, HALF)
BOOTS: dict[str, Callable[[bytes], Span | None]] = {"dos": mbr_boots, "gpt": gpt_boots, "sgdisk": gpt_boots}
KINDS = tuple(BOOTS)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], bytes]:
    """A disk for each kind of table and each place of the first partition, with the old bootloader there."""
    found = {}
    for kind in KINDS:
        for half in (FIRST, SECOND):
            path = tmp_path_factory.mktemp("disk") / "disk"
            table(kind, path, boot=half.start)
            data = bytearray(path.read_bytes())
            data[half.start : half.start + len(OLD)] = OLD
            found[kind, half.start] = bytes(data)
    return found


def switching(kind: str, medium: MemoryDisk) -> PartitionSwitch:
    return PartitionSwitch(read_mbr if kind == "dos" else read_gpt, medium.opened)


def typed(kind: str, region: Span = REGION) -> Slot:
    return slot("mbr" if kind == "dos" else "gpt", region=region)


def install(kind: str, medium: MemoryDisk, image: bytes = NEW) -> None:
    handled = switching(kind, medium)
    handled.install(typed(kind), content(image), booted=(), start=0, watch=Watcher())
    handled.switch(typed(kind))


def runs(kind: str, data: bytes) -> str:
    """Which bootloader the firmware finds, if it finds a whole one."""
    place = BOOTS[kind](data)
    if place not in (FIRST, SECOND):
        return "none"
    held = data[place.start : place.end]
    return "old" if held.startswith(OLD) else "new" if held.startswith(NEW) else "none"


def refusal(kind: str, data: bytes, region: Span = REGION, size: int = 1) -> SlotError:
    medium = MemoryDisk(bytearray(data))
    with pytest.raises(SlotError) as caught:
        switching(kind, medium).preflight(typed(kind, region), "raw", size)
    assert medium.record == []
    return caught.value


@pytest.mark.parametrize("start", [FIRST.start, SECOND.start], ids=["first", "second"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_hidden_half_is_filled_and_shown_and_the_other_one_is_kept(
    kind: str, start: int, disks: dict[tuple[str, int], bytes]
) -> None:
    medium = MemoryDisk(bytearray(disks[kind, start]))
    install(kind, medium)
    hidden = SECOND if start == FIRST.start else FIRST
    assert BOOTS[kind](medium.data) == hidden
    assert medium.data[hidden.start : hidden.start + len(NEW)] == NEW
    assert medium.data[start : start + len(OLD)] == OLD


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_the_first_partition_has_changed_in_the_table(
    kind: str, disks: dict[tuple[str, int], bytes], tmp_path: Path
) -> None:
    medium = MemoryDisk(bytearray(disks[kind, FIRST.start]))
    install(kind, medium)
    (tmp_path / "before").write_bytes(disks[kind, FIRST.start])
    (tmp_path / "after").write_bytes(medium.data)
    dumps = [
        tool("sfdisk", "--dump", tmp_path / name).replace(str(tmp_path / name), "disk") for name in ("before", "after")
    ]
    assert dumps[0].replace(f"{FIRST.start // 512}, size", f"{SECOND.start // 512}, size") == dumps[1]


@pytest.mark.req("S08")
@pytest.mark.parametrize("kind", KINDS)
def test_until_the_switch_the_table_is_not_written_to(kind: str, disks: dict[tuple[str, int], bytes]) -> None:
    medium = MemoryDisk(bytearray(disks[kind, FIRST.start]))
    handled = switching(kind, medium)
    handled.install(typed(kind), content(NEW), booted=(), start=0, watch=Watcher())
    assert all(SECOND.start <= offset and offset + len(data) <= SECOND.end for offset, data in medium.writes)
    assert runs(kind, medium.data) == "old"


@pytest.mark.req("S08", "C11")
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_at_any_write_leaves_a_whole_bootloader_old_or_new(
    kind: str, disks: dict[tuple[str, int], bytes]
) -> None:
    before = disks[kind, FIRST.start]
    medium = MemoryDisk(bytearray(before))
    install(kind, medium)
    states = list(after_cuts(before, medium.record))
    found = [runs(kind, data) for data in states]
    assert set(found) == {"old", "new"}
    assert found[-1] == "new"


@pytest.mark.req("S08")
@pytest.mark.parametrize("kind", KINDS)
def test_after_a_cut_in_the_switch_the_next_try_succeeds_and_survives_a_cut_as_well(
    kind: str, disks: dict[tuple[str, int], bytes]
) -> None:
    before = disks[kind, FIRST.start]
    medium = MemoryDisk(bytearray(before))
    handled = switching(kind, medium)
    handled.install(typed(kind), content(NEW), booted=(), start=0, watch=Watcher())
    filled, begin = bytes(medium.data), len(medium.record)
    handled.switch(typed(kind))
    for data in set(after_cuts(filled, medium.record[begin:])):
        again = MemoryDisk(bytearray(data))
        install(kind, again)
        assert runs(kind, again.data) == "new"
        assert not read_and_point(kind, again)
        assert {runs(kind, later) for later in after_cuts(data, again.record)} <= {"old", "new"}


def read_and_point(kind: str, medium: MemoryDisk) -> list[tuple[int, bytes]]:
    """What would have to be written to mend the tables as they are; nothing when they are whole."""
    found = (read_mbr if kind == "dos" else read_gpt)(medium)
    assert found.boot is not None
    return found.pointing_to(found.boot)


def test_the_mbr_changes_in_one_write_of_one_sector(disks: dict[tuple[str, int], bytes]) -> None:
    medium = MemoryDisk(bytearray(disks["dos", FIRST.start]))
    install("dos", medium)
    assert [(offset, len(data)) for offset, data in medium.writes if offset < MIB] == [(0, 512)]


def test_the_backup_gpt_changes_before_the_primary_and_every_write_is_flushed(
    disks: dict[tuple[str, int], bytes],
) -> None:
    medium = MemoryDisk(bytearray(disks["gpt", FIRST.start]))
    install("gpt", medium)
    end = [entry and (entry[0], len(entry[1])) for entry in medium.record][-6:]
    assert end == [(DISK - 33 * 512, 512), None, (DISK - 512, 512), None, (512, 1024), None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_half_that_holds_the_image_already_is_shown_without_being_written(
    kind: str, disks: dict[tuple[str, int], bytes]
) -> None:
    data = bytearray(disks[kind, FIRST.start])
    data[SECOND.start : SECOND.start + len(NEW)] = NEW
    medium = MemoryDisk(data)
    handled = switching(kind, medium)
    outcome = handled.install(typed(kind), content(NEW), booted=(), start=0, watch=Watcher())
    assert (outcome.written, outcome.skipped, medium.record) == (0, len(NEW), [])
    handled.switch(typed(kind))
    assert runs(kind, medium.data) == "new"


@pytest.mark.parametrize("image", [OLD, NEW], ids=["same", "other"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bootloader_that_is_shown_already_is_kept_if_that_is_said(
    kind: str, image: bytes, disks: dict[tuple[str, int], bytes]
) -> None:
    medium = MemoryDisk(bytearray(disks[kind, FIRST.start]))
    handled, target = switching(kind, medium), replace(typed(kind), install_same=False)
    handled.install(target, content(image), booted=(), start=0, watch=Watcher())
    handled.switch(target)
    assert (medium.record == []) == (image == OLD)
    assert runs(kind, medium.data) == ("old" if image == OLD else "new")


@pytest.mark.req("C11")
@pytest.mark.parametrize("kind", KINDS)
def test_a_medium_that_keeps_something_else_is_not_switched_to(kind: str, disks: dict[tuple[str, int], bytes]) -> None:
    medium = MemoryDisk(bytearray(disks[kind, FIRST.start]), lies_at=SECOND.start + 5000)
    handled = switching(kind, medium)
    with pytest.raises(SlotError) as caught:
        handled.install(typed(kind), content(NEW), booted=(), start=0, watch=Watcher())
    assert caught.value.code == "slot.read-back"
    with pytest.raises(RuntimeError):
        handled.switch(typed(kind))
    assert runs(kind, medium.data) == "old"


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_is_not_kept_as_written_is_said(kind: str, disks: dict[tuple[str, int], bytes]) -> None:
    medium = MemoryDisk(bytearray(disks[kind, FIRST.start]))
    handled = switching(kind, medium)
    handled.install(typed(kind), content(NEW), booted=(), start=0, watch=Watcher())
    medium.lies_at = 446 + 8 if kind == "dos" else 1024 + 32
    with pytest.raises(SlotError) as caught:
        handled.switch(typed(kind))
    assert caught.value.code == "slot.switch-failed"


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_changed_by_others_meanwhile_is_not_switched(kind: str, disks: dict[tuple[str, int], bytes]) -> None:
    medium = MemoryDisk(bytearray(disks[kind, FIRST.start]))
    handled = switching(kind, medium)
    handled.install(typed(kind), content(NEW), booted=(), start=0, watch=Watcher())
    medium.data[:] = disks[kind, SECOND.start]
    with pytest.raises(SlotError) as caught:
        handled.switch(typed(kind))
    assert caught.value.code == "slot.switch-failed"
    assert medium.data == disks[kind, SECOND.start]


@pytest.mark.parametrize("kind", KINDS)
def test_every_write_that_fails_leaves_a_whole_bootloader(kind: str, disks: dict[tuple[str, int], bytes]) -> None:
    medium = MemoryDisk(bytearray(disks[kind, FIRST.start]))
    install(kind, medium)
    for number in range(len(medium.writes)):
        failing = MemoryDisk(bytearray(disks[kind, FIRST.start]), fails_at=number)
        with pytest.raises(SlotError) as caught:
            install(kind, failing)
        assert caught.value.code == "slot.write-failed"
        assert runs(kind, failing.data) in ("old", "new")


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_refused_at_preflight(kind: str, disks: dict[tuple[str, int], bytes]) -> None:
    good = disks[kind, FIRST.start]
    switching(kind, MemoryDisk(bytearray(good))).preflight(typed(kind), "raw", HALF)
    assert refusal(kind, good, size=HALF + 1).code == "slot.too-small"
    assert refusal(kind, good, Span(MIB + 1, 2 * HALF)).code == "slot.region-invalid"
    assert refusal(kind, good, Span(MIB, 2 * HALF + 512)).code == "slot.region-invalid"
    assert refusal(kind, good, Span(MIB, DISK)).code == "slot.region-invalid"
    assert refusal(kind, good, Span(MIB, 0)).code == "slot.region-invalid"
    assert refusal(kind, good, Span(MIB, 2 * HALF + 1024)).code == "slot.region-overlap"
    assert refusal(kind, good, Span(0, 2 * HALF)).code == "slot.region-overlap"
    assert refusal(kind, good, Span(MIB - HALF // 2, HALF)).code == "slot.region-mismatch"


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_without_a_table_is_refused(kind: str) -> None:
    assert refusal(kind, bytes(DISK)).code == "slot.table-damaged"


def test_an_mbr_without_a_first_partition_is_refused(disks: dict[tuple[str, int], bytes]) -> None:
    data = bytearray(disks["dos", FIRST.start])
    data[446:462] = bytes(16)
    assert refusal("dos", bytes(data)).code == "slot.region-mismatch"


@pytest.mark.parametrize(("kind", "other"), [("dos", "gpt"), ("gpt", "dos")])
def test_the_other_kind_of_table_is_refused(kind: str, other: str, disks: dict[tuple[str, int], bytes]) -> None:
    assert refusal(kind, disks[other, FIRST.start]).code == "slot.table-kind"


def test_a_hybrid_mbr_is_refused(disks: dict[tuple[str, int], bytes], tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(disks["gpt", FIRST.start])
    tool("sgdisk", "--hybrid=2", tmp_path / "disk")
    assert refusal("gpt", (tmp_path / "disk").read_bytes()).code == "slot.table-kind"


def test_a_gpt_whose_backup_is_not_at_the_end_is_refused(disks: dict[tuple[str, int], bytes]) -> None:
    error = refusal("gpt", disks["gpt", FIRST.start] + bytes(MIB))
    assert error.code == "slot.table-damaged"
    assert "--move-second-header" in error.resolution


def test_a_gpt_whose_first_header_is_gone_is_not_guessed_at(disks: dict[tuple[str, int], bytes]) -> None:
    data = bytearray(disks["gpt", FIRST.start])
    data[512:1024] = bytes(512)
    assert refusal("gpt", bytes(data)).code == "slot.table-damaged"


@pytest.mark.parametrize("damage", ["header", "array"])
def test_a_lost_backup_is_made_again_before_anything_else(damage: str, disks: dict[tuple[str, int], bytes]) -> None:
    data = bytearray(disks["gpt", FIRST.start])
    at = DISK - 512 if damage == "header" else DISK - 33 * 512
    data[at : at + 512] = b"\xee" * 512
    medium = MemoryDisk(data)
    install("gpt", medium)
    assert runs("gpt", medium.data) == "new"
    fresh = MemoryDisk(bytearray(disks["gpt", FIRST.start]))
    install("gpt", fresh)
    assert medium.data == fresh.data


def test_arrays_that_were_moved_away_stay_where_they_are(tmp_path: Path) -> None:
    table("sgdisk", tmp_path / "disk")
    tool("sgdisk", "-a", "1", "--move-main-table=1024", tmp_path / "disk")
    data = bytearray((tmp_path / "disk").read_bytes())
    data[1024 : 1024 + 400_000] = b"\x5a" * 400_000  # a bootloader behind the header, as some boards want it
    data[FIRST.start : FIRST.start + len(OLD)] = OLD
    medium = MemoryDisk(data)
    install("gpt", medium)
    assert set(medium.data[1024:401_024]) == {0x5A}
    assert runs("gpt", medium.data) == "new"
    (tmp_path / "disk").write_bytes(medium.data)
    assert "No problems found" in tool("sgdisk", "--verify", tmp_path / "disk")


def test_the_installer_can_tell_that_there_is_a_second_step() -> None:
    assert isinstance(handler("boot-mbr-switch"), Switching)
    assert isinstance(handler("boot-gpt-switch"), Switching)
    with pytest.raises(KeyError):
        handler("raw")


def test_a_bootloader_is_written_from_its_start_only(disks: dict[tuple[str, int], bytes]) -> None:
    handled = switching("gpt", MemoryDisk(bytearray(disks["gpt", FIRST.start])))
    assert not handled.resumable
    with pytest.raises(ValueError):
        handled.install(typed("gpt"), replace(content(NEW)), booted=(), start=4096, watch=Watcher())
