"""Whether a slot is being written to, on real block devices with real file systems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import loop, mounted, run

from slots.mount_mode import written_to

pytestmark = pytest.mark.root


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "slot.img"
    with file.open("wb") as image:
        image.truncate(8 * 1024 * 1024)
    run("mkfs.ext4", "-q", file)
    with loop(file) as device:
        yield device


def test_a_slot_that_nobody_has_mounted_is_not_written_to(device: str) -> None:
    assert written_to(device) == ""


def test_a_file_system_mounted_for_reading_is_not_written_to(device: str, tmp_path: Path) -> None:
    with mounted(device, tmp_path / "root", "-o", "ro"):
        assert written_to(device) == ""


def test_a_file_system_mounted_for_writing_is(device: str, tmp_path: Path) -> None:
    with mounted(device, tmp_path / "root"):
        assert written_to(device) == str(tmp_path / "root")


def test_a_mount_for_reading_does_not_hide_that_the_file_system_is_written_to(device: str, tmp_path: Path) -> None:
    with mounted(device, tmp_path / "root"):
        run("mount", "-o", "remount,bind,ro", tmp_path / "root")
        assert written_to(device)


def test_a_slot_in_a_file_is_seen_through_its_loop_device(device: str, tmp_path: Path) -> None:
    with mounted(device, tmp_path / "root"):
        assert written_to(str(tmp_path / "slot.img"))


def test_a_device_made_of_the_slot_is_looked_through(tmp_path: Path) -> None:
    """dm-crypt, dm-linear: the file system has the number of the device above."""
    proc, sysfs = tmp_path / "proc", tmp_path / "sys"
    (proc / "self").mkdir(parents=True)
    holders = sysfs / "dev/block/1:3/holders/dm-0"
    holders.mkdir(parents=True)
    (holders / "dev").write_text("254:0\n")
    node = tmp_path / "slot"
    run("mknod", node, "b", "1", "3")
    for options, expected in (("rw", "/"), ("ro", "")):
        (proc / "self/mountinfo").write_text(f"25 1 254:0 / / ro shared:1 - ext4 /dev/mapper/root {options}\n")
        assert written_to(str(node), proc=str(proc), sysfs=str(sysfs)) == expected
