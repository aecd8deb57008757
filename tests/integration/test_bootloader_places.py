"""Promises of boot-mbr-switch, boot-gpt-switch and boot-raw-fallback on real block devices, beside mounted partitions."""

from __future__ import annotations

import fcntl
import os
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.disks import loop, mounted, run
from support.media import Watcher, content
from support.partition_tables import DISK, HALF, MIB, REGION, REST, by_sfdisk, gpt_boots, mbr_boots, slot, table, tool

from slots.errors import SlotError
from slots.handlers.halves import Span
from slots.handlers.partition_switch import PartitionSwitch
from slots.handlers.port import Switching
from slots.handlers.table import PAIRS, handler_for
from slots.model import REGION_TYPES, Slot

pytestmark = pytest.mark.root
NEW = b"new" + random.Random(2).randbytes(200_001)
HIDDEN = Span(MIB + HALF, HALF)
KINDS = ("mbr", "gpt")


@contextmanager
def disk(path: Path, kind: str, *options: str) -> Iterator[str]:
    """A loop device with a table and its partitions."""
    table("dos" if kind == "mbr" else kind, path)
    with loop(path, *options) as device:
        run("partx", "--add", device)
        try:
            yield device
        finally:
            run("partx", "--delete", device)


def fallback(device: str | Path, start: int = REGION.start) -> Slot:
    return Slot(
        "bootloader.0", "bootloader", 0, str(device), "boot-raw-fallback", region_start=start, region_size=REGION.size
    )


def put(where: Slot, *booted: str, image: bytes = NEW) -> None:
    handler = handler_for(where.type, "raw")
    handler.preflight(where, "raw", len(image))
    handler.install(where, content(image), booted=booted, start=0, watch=Watcher())
    if isinstance(handler, Switching):
        handler.switch(where)


def refusal(where: Slot, *booted: str) -> str:
    with pytest.raises(SlotError) as caught:
        put(where, *booted)
    return caught.value.code


@pytest.mark.req("S03", "C11")
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_partition_moves_there_and_back_while_another_one_is_mounted(kind: str, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", kind) as device:
        run("mkfs.ext4", "-q", f"{device}p2")
        with mounted(f"{device}p2", tmp_path / "mnt"):
            (tmp_path / "mnt" / "file").write_text("kept")
            before = by_sfdisk(Path(device))
            put(slot(kind, device), f"{device}p2")
            moved = by_sfdisk(Path(device))
            assert Path(device).read_bytes()[HIDDEN.start : HIDDEN.start + len(NEW)] == NEW
            put(slot(kind, device), f"{device}p2", image=NEW[::-1])
            assert by_sfdisk(Path(device)) == before
            assert (tmp_path / "mnt" / "file").read_text() == "kept"
        first, second = moved["partitions"]
        assert first == before["partitions"][0] | {"start": HIDDEN.start // 512}
        assert second == before["partitions"][1]
    assert (tmp_path / "disk").read_bytes()[MIB : MIB + len(NEW)] == NEW[::-1]
    run("fsck.ext4", "-f", "-n", _part(tmp_path, REST))


def _part(folder: Path, start: int) -> Path:
    data = (folder / "disk").read_bytes()
    (folder / "part").write_bytes(data[start : start + MIB])
    return folder / "part"


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_are_byte_by_byte_what_sfdisk_makes(kind: str, tmp_path: Path) -> None:
    table("dos" if kind == "mbr" else kind, tmp_path / "theirs")
    lines = tool("sfdisk", "--dump", tmp_path / "theirs").splitlines()
    changed = [re.sub(rf"start= *{MIB // 512},", f"start={HIDDEN.start // 512},", line) for line in lines]
    assert changed != lines
    ours = (tmp_path / "theirs").read_bytes()
    (tmp_path / "ours").write_bytes(ours)
    tool("sfdisk", "--quiet", tmp_path / "theirs", text="\n".join(changed) + "\n")
    put(slot(kind, tmp_path / "ours"))
    ours, theirs = ((tmp_path / name).read_bytes() for name in ("ours", "theirs"))
    assert ours[:MIB] == theirs[:MIB]
    assert ours[-33 * 512 :] == theirs[-33 * 512 :]


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] in REGION_TYPES], ids=str)
def test_every_pair_of_the_table_works(pair: tuple[str, str], tmp_path: Path) -> None:
    table("dos" if "mbr" in pair[0] else "gpt", tmp_path / "disk")
    target = replace(slot("gpt", tmp_path / "disk"), type=pair[0])
    handler = handler_for(*pair)
    handler.preflight(target, pair[1], len(NEW))
    outcome = handler.install(target, content(NEW, pair[1]), booted=(), start=0, watch=Watcher())
    assert outcome.digest == content(NEW).sha256
    assert (tmp_path / "disk").read_bytes()[HIDDEN.start : HIDDEN.start + len(NEW)] == NEW
    assert isinstance(handler, Switching) == (pair[0] != "boot-raw-fallback")


def test_sgdisk_finds_nothing_wrong_with_a_switched_gpt(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "gpt") as device:
        put(slot("gpt", device))
        assert "No problems found" in tool("sgdisk", "--verify", device)


@pytest.mark.parametrize("kind", KINDS)
def test_disks_with_sectors_of_4096_bytes(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(2 * DISK)
    label = "dos" if kind == "mbr" else "gpt"
    with loop(path, "--sector-size", "4096") as device:
        lines = f"label: {label}\nstart={MIB // 4096}, size={HALF // 4096}\nstart={REST // 4096}, size={MIB // 4096}\n"
        tool("sfdisk", "--quiet", device, text=lines)
        before = by_sfdisk(Path(device))
        put(slot(kind, device))
        after = by_sfdisk(Path(device))
        assert after["partitions"][0] == before["partitions"][0] | {"start": HIDDEN.start // 4096}
        assert after["partitions"][1] == before["partitions"][1]
        put(fallback(device))
        with pytest.raises(SlotError) as caught:
            handler_for("boot-raw-fallback", "raw").preflight(fallback(device, MIB + 512), "raw", 1)
        assert caught.value.code == "slot.region-invalid"


def test_both_copies_of_a_fallback_are_written_beside_a_mounted_partition(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "gpt") as device:
        run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--delete", device, "1")
        run("partx", "--delete", "--nr", "1", device)
        run("mkfs.ext4", "-q", f"{device}p2")
        with mounted(f"{device}p2", tmp_path / "mnt"):
            put(fallback(device), f"{device}p2")
    data = (tmp_path / "disk").read_bytes()
    assert data[MIB : MIB + len(NEW)] == data[HIDDEN.start : HIDDEN.start + len(NEW)] == NEW


@pytest.mark.req("T05", "S30")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_mounted_where_the_image_would_go_is_refused(kind: str, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", kind) as device:
        run("mkfs.ext4", "-q", f"{device}p1")
        with mounted(f"{device}p1", tmp_path / "mnt"):
            put(slot(kind, device))  # the kernel goes on to see the old place, which is hidden now
            before = Path(device).read_bytes()
            assert refusal(slot(kind, device)) == "slot.mounted"
            assert refusal(fallback(device)) == "slot.mounted"
            assert Path(device).read_bytes() == before


@pytest.mark.req("T05", "S30")
def test_the_running_system_is_refused(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "gpt") as device:
        assert refusal(fallback(device), f"{device}p1") == "slot.booted"
        assert refusal(slot("gpt", device), device) == "slot.booted"


def test_a_disk_that_is_mounted_as_a_whole_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(DISK))
    with loop(tmp_path / "disk") as device:
        run("mkfs.ext4", "-q", device)
        with mounted(device, tmp_path / "mnt"):
            assert refusal(fallback(device)) == "slot.mounted"
            assert refusal(fallback(tmp_path / "disk")) == "slot.mounted"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_disk_or_must_not_be_written_is_refused(kind: str, tmp_path: Path) -> None:
    table("dos" if kind == "mbr" else kind, tmp_path / "disk")
    assert refusal(slot(kind, tmp_path / "none")) == "slot.missing"
    assert refusal(slot(kind, "/dev/null")) == "slot.not-storage"
    assert refusal(slot(kind, tmp_path / "disk", readonly=True)) == "slot.readonly"
    with loop(tmp_path / "disk", "--read-only") as device:
        assert refusal(slot(kind, device)) == "slot.readonly"


def test_a_disk_that_another_process_has_locked_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slots.claim._PATIENCE", 0.0)
    table("gpt", tmp_path / "disk")
    with (tmp_path / "disk").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert refusal(slot("gpt", tmp_path / "disk")) == "slot.busy"


def test_a_lock_that_is_given_back_soon_is_waited_for(tmp_path: Path) -> None:
    table("gpt", tmp_path / "disk")
    fd = os.open(tmp_path / "disk", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    timer = threading.Timer(0.2, os.close, [fd])
    timer.start()
    put(slot("gpt", tmp_path / "disk"))
    timer.join()
    assert gpt_boots((tmp_path / "disk").read_bytes()) == HIDDEN


@pytest.mark.req("C11")
def test_a_medium_that_fails_is_reported_and_the_table_is_as_before(tmp_path: Path) -> None:
    with full_medium(tmp_path, spare=0) as (device, backing):
        assert refusal(slot("mbr", device)) == "slot.write-failed"
        assert mbr_boots(backing.read_bytes()[:512]) == Span(MIB, HALF)


@pytest.mark.req("C11")
def test_a_device_that_swallows_the_end_of_a_write_without_a_word_is_found_out(tmp_path: Path) -> None:
    with full_medium(tmp_path, spare=64 * 1024) as (device, backing):  # the loop driver reports success
        assert refusal(slot("mbr", device)) == "slot.read-back"
        assert mbr_boots(backing.read_bytes()[:512]) == Span(MIB, HALF)


@contextmanager
def full_medium(folder: Path, spare: int) -> Iterator[tuple[str, Path]]:
    """A disk on a file system that has only so many bytes left."""
    with mounted("tmpfs", folder / "small", "-t", "tmpfs", "-o", "size=256k"):
        backing = folder / "small" / "disk"
        table("dos", backing)
        left = os.statvfs(backing)
        (folder / "small" / "filler").write_bytes(bytes(left.f_bavail * left.f_frsize - spare))
        with loop(backing) as device:
            yield device, backing


def test_each_switch_needs_an_installation_by_the_same_handler(tmp_path: Path) -> None:
    table("gpt", tmp_path / "disk")
    handler = handler_for("boot-gpt-switch", "vfat")
    assert isinstance(handler, PartitionSwitch)
    with pytest.raises(RuntimeError):
        handler.switch(slot("gpt", tmp_path / "disk"))
