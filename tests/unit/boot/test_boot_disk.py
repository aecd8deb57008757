"""Disks that are made without mounts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from boot.lab.disk import Layout, Partition, layout, make_disk, put
from boot.lab.system import MIB

SMALL = Layout((Partition("boot", 16 * MIB), Partition("rootfs-a", 2 * MIB), Partition("data", 4 * MIB)))


def tree_of(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def cut_out(disk: Path, label: str) -> Path:
    part = disk.with_name(label)
    with disk.open("rb") as file:
        file.seek(SMALL.offset(label))
        part.write_bytes(file.read(SMALL.length(label)))
    return part


def test_the_table_says_what_the_layout_says(tmp_path: Path) -> None:
    of = layout(rescue=True, bios=True)
    disk = make_disk(tmp_path / "disk", of, {})
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    found = {each["name"]: (each["start"] * 512, each["size"] * 512) for each in table["partitiontable"]["partitions"]}
    assert found == {each.label: (of.offset(each.label), of.length(each.label)) for each in of.partitions}
    assert list(found) == ["boot", "rootfs-a", "rootfs-b", "rescue", "data", "bios"]


def test_holes_stay_holes(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk", layout(), {})
    assert disk.stat().st_blocks * 512 < 8 * MIB < disk.stat().st_size


def test_a_directory_becomes_a_file_system_that_is_sound(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk", SMALL, {"data": tree_of(tmp_path / "tree", name="board-1")})
    part = cut_out(disk, "data")
    subprocess.run(["e2fsck", "-f", "-n", part], capture_output=True, check=True)
    said = subprocess.run(["debugfs", "-R", "cat /name", part], capture_output=True, text=True, check=True)
    assert said.stdout == "board-1"


def test_what_the_firmware_reads_is_fat(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk", SMALL, {"boot": tree_of(tmp_path / "tree", **{"boot.scr": "script"})})
    command = ["mtype", "-i", f"{disk}@@{SMALL.offset('boot')}", "::/boot.scr"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "script"


def test_an_image_is_put_there_as_it_is(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.write(b"begin")
        file.seek(MIB + 7)
        file.write(b"end")
    disk = make_disk(tmp_path / "disk", SMALL, {"rootfs-a": image})
    assert cut_out(disk, "rootfs-a").read_bytes() == image.read_bytes().ljust(2 * MIB, b"\0")


def test_an_image_that_is_longer_than_its_partition_is_an_error(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x" * 10)
    target = tmp_path / "target"
    target.write_bytes(bytes(20))
    with pytest.raises(ValueError, match="10 bytes"):
        put(image, target, 0, 9)
    assert target.read_bytes() == bytes(20)


def test_an_image_that_is_one_hole_is_put_as_well(tmp_path: Path) -> None:
    image, target = tmp_path / "image", tmp_path / "target"
    for path in (image, target):
        path.touch()
        os.truncate(path, MIB)
    put(image, target, 0, MIB)
    assert target.stat().st_blocks == 0
