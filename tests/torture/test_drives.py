"""What lies on the drives of a machine is found in the images that it writes to, like in a replay."""

from __future__ import annotations

from pathlib import Path

import pytest
from boot.lab.disk import Layout, Partition

from torture.drives import Drives
from torture.story import Story
from torture.synthetic import IMAGE, MIB, Recorded

LAYOUT = Layout((Partition("rootfs-a", MIB), Partition("rootfs-b", MIB), Partition("data", 8 * MIB)))


@pytest.fixture
def machine(tmp_path: Path):
    """A directory with the drives of a recording, and what is known of them."""
    recorded = Recorded(tmp_path / "recording")
    story = Story.load(recorded.done())
    for name in ("disk", "card"):
        (tmp_path / f"{name}.img").write_bytes((tmp_path / f"recording/{name}.base").read_bytes())
    for name, data in (("old", recorded.old), ("new", recorded.new)):
        (tmp_path / name).write_bytes(data)
    known = {name: tmp_path / name for name in ("old", "new")}
    return Drives(tmp_path, LAYOUT, story, known), tmp_path / "disk.img", recorded


def write(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_environment_documents_and_slots_are_found(machine):
    drives, _, _ = machine
    found = drives.found(whole=True)
    assert found.environment.variables["BOOT_ORDER"] == "A" and found.environment.valid == (False, True)
    assert found.slots == {"A": "old", "B": "before"}
    assert found.documents.state == "activating" and not found.documents.damaged


def test_what_the_machine_wrote_is_found_and_half_of_it_is_half_written(machine):
    drives, disk, recorded = machine
    write(disk, 2 * MIB, recorded.new[: IMAGE // 2])
    assert drives.found(whole=True).slots["B"] == ""
    write(disk, 2 * MIB + IMAGE // 2, recorded.new[IMAGE // 2 :])
    assert drives.found(whole=True).slots["B"] == "new"


def test_a_slot_that_would_not_boot_is_not_read(machine):
    drives, disk, recorded = machine
    write(disk, 2 * MIB, recorded.new[: IMAGE // 2])
    assert drives.found().slots == {"A": "old", "B": "not read"}


def test_a_difference_in_the_last_byte_is_seen(machine):
    drives, disk, recorded = machine
    write(disk, 2 * MIB, recorded.new[:-1] + bytes([recorded.new[-1] ^ 1]))
    assert drives.found(whole=True).slots["B"] == ""
