"""What kind of file system a slot holds is seen as blkid sees it, on what the real tools make."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.disks import run

from agent.doctor.probe import LENGTH, kind_of

MAKERS = {
    "ext2": (["mkfs.ext2", "-q", "{image}"], "ext4"),
    "ext4": (["mkfs.ext4", "-q", "{image}"], "ext4"),
    "ext4 with large blocks": (["mkfs.ext4", "-q", "-b", "4096", "{image}"], "ext4"),
    "fat12": (["mkfs.vfat", "-F", "12", "{image}"], "vfat"),
    "fat16": (["mkfs.vfat", "-F", "16", "{image}"], "vfat"),
    "fat32": (["mkfs.vfat", "-F", "32", "{image}"], "vfat"),
    "squashfs": (["mksquashfs", "{folder}", "{image}", "-noappend", "-quiet"], "squashfs"),
    "erofs": (["mkfs.erofs", "{image}", "{folder}"], "erofs"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_doctor_sees_what_blkid_sees(tmp_path: Path, name: str) -> None:
    command, expected = MAKERS[name]
    image, folder = tmp_path / "image", tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    with image.open("wb") as file:
        file.truncate(40 * 1024 * 1024)
    run(*(word.format(image=image, folder=folder) for word in command))
    seen = run("blkid", "--probe", "--match-tag", "TYPE", "--output", "value", image)
    with image.open("rb") as file:
        assert kind_of(file.read(LENGTH)) == expected
    assert seen == ("ext2" if name == "ext2" else expected)


@pytest.mark.parametrize("data", [b"", b"\0" * LENGTH, b"\xff" * LENGTH])
def test_nothing_is_blank(data: bytes) -> None:
    assert kind_of(data) == "blank"


def test_anything_else_is_unknown(tmp_path: Path) -> None:
    done = subprocess.run(["dd", "if=/dev/urandom", "bs=8192", "count=1"], capture_output=True, check=True)
    assert kind_of(done.stdout) == ""
