"""What lies on the drives of a machine is found through the overlays that it writes to, like in a replay."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from boot.lab.disk import Layout, Partition

from torture.drives import Drives
from torture.record import digests
from torture.story import Story
from torture.synthetic import IMAGE, MIB, Recorded

LAYOUT = Layout((Partition("rootfs-a", MIB), Partition("rootfs-b", MIB), Partition("data", 8 * MIB)))


@pytest.fixture
def machine(tmp_path: Path):
    """A directory with overlays over the drives of a recording, and what is known of them."""
    recorded = Recorded(tmp_path / "recording")
    story = Story.load(recorded.done())
    for name in ("disk", "card"):
        base = tmp_path / "recording" / f"{name}.base"
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, tmp_path / f"{name}.qcow2"]
        subprocess.run(command, check=True)
    device = SimpleNamespace(directory=tmp_path, board=SimpleNamespace(layout=LAYOUT))
    for name, data in (("old", recorded.old), ("new", recorded.new)):
        (tmp_path / name).write_bytes(data)
    return Drives(device, story, digests(tmp_path / "old", tmp_path / "new")), tmp_path, recorded


def write(path: Path, offset: int, data: bytes) -> None:
    (path.parent / "piece").write_bytes(data)
    command = ["qemu-io", "-c", f"write -s {path.parent}/piece {offset} {len(data)}", path]
    subprocess.run(command, check=True, capture_output=True)


def test_environment_documents_and_slots_are_found(machine):
    drives, _, _ = machine
    found = drives.found(whole=True)
    assert found.environment.variables["BOOT_ORDER"] == "A" and found.environment.valid == (False, True)
    assert found.slots == {"A": "old", "B": "before"}
    assert found.documents.state == "activating" and not found.documents.damaged


def test_what_the_machine_wrote_is_found_and_half_of_it_is_half_written(machine):
    drives, directory, recorded = machine
    write(directory / "disk.qcow2", 2 * MIB, recorded.new[: IMAGE // 2])
    assert drives.found(whole=True).slots["B"] == ""
    write(directory / "disk.qcow2", 2 * MIB + IMAGE // 2, recorded.new[IMAGE // 2 :])
    assert drives.found(whole=True).slots["B"] == "new"


def test_a_slot_that_would_not_boot_is_not_read(machine):
    drives, directory, recorded = machine
    write(directory / "disk.qcow2", 2 * MIB, recorded.new[: IMAGE // 2])
    assert drives.found().slots == {"A": "old", "B": "not read"}


def test_old_new_and_empty_slots_have_digests_of_their_own(tmp_path):
    (tmp_path / "old").write_bytes(b"old!")
    (tmp_path / "new").write_bytes(b"new!")
    known = digests(tmp_path / "old", tmp_path / "new")
    assert [known[hashlib.sha256(each).hexdigest()] for each in (b"old!", b"new!", bytes(4))] == [
        "old",
        "new",
        "before",
    ]
