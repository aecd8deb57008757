"""Our readers of file systems find what the field's own programs find, also where a power cut left the journal open."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from support.disks import mounted, run
from support.filesystems import sized

from torture.crc32c import crc32c
from torture.ext4 import Ext4, NotReadable
from torture.fat import Fat, NotFat

MIB = 1024 * 1024


def reader(path: Path):
    data = path.read_bytes()
    return lambda offset, length: data[offset : offset + length]


def durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@pytest.fixture(scope="module", params=["", "-O^metadata_csum,^64bit", "-b1024"])
def crashed(request, tmp_path_factory):
    """The image of a file system that was in use when it was copied, and the same after e2fsck has replayed its journal."""
    directory = tmp_path_factory.mktemp("ext4")
    image, copy, repaired, where = (directory / name for name in ("image", "copy", "repaired", "where"))
    run("mkfs.ext4", "-q", "-F", *filter(None, [request.param]), sized(image, 16 * MIB))
    chance = Random(1)
    with mounted(image, where, "-o", "loop"):
        for name in ("state", "state/audit"):
            (where / name).mkdir()
        for number in range(60):
            durably(where / "state/new", chance.randbytes(chance.randrange(30_000)))
            (where / "state/new").rename(where / f"state/document-{number % 9}")
            durably(where / f"state/audit/{number:08}-with-a-name-that-makes-the-directory-long", b"record")
        (where / "state/document-3").unlink()
        with (where / "state/sparse").open("wb") as sparse:
            sparse.seek(200_000)
            sparse.write(b"end")
        os.sync()
        durably(where / "state/last", b"the last word")
        shutil.copy(image, copy)
    shutil.copy(copy, repaired)
    subprocess.run(["e2fsck", "-fy", repaired], check=False, capture_output=True)
    run("e2fsck", "-fn", repaired)
    with mounted(repaired, where, "-o", "loop,ro"):
        state = where / "state"
        found = {str(path.relative_to(state)): path.read_bytes() for path in state.rglob("*") if path.is_file()}
    return copy, found


@pytest.mark.root
def test_ext4_is_read_as_it_is_after_the_journal_was_replayed(crashed):
    copy, expected = crashed
    assert Ext4(reader(copy)).tree("state") == expected
    assert expected["last"] == b"the last word" and len(expected) > 60


@pytest.mark.root
def test_without_its_journal_the_same_image_says_something_else(crashed, monkeypatch):
    copy, expected = crashed
    monkeypatch.setattr("torture.ext4.recovered", lambda _: {})
    try:
        found = Ext4(reader(copy)).tree("state")
    except NotReadable:
        return
    assert found != expected


def test_what_is_no_ext4_is_refused(tmp_path):
    with pytest.raises(NotReadable):
        Ext4(reader(sized(tmp_path / "empty", MIB)))


@pytest.mark.parametrize(("bits", "size"), [(12, 1), (16, 16), (32, 40)])
def test_fat_is_read_as_mtools_wrote_it(tmp_path, bits, size):
    image = sized(tmp_path / "image", size * MIB)
    run("mkfs.vfat", "-F", bits, "-s", 1, image)
    files = {
        name: Random(name).randbytes(length)
        for name, length in (
            ("uboot.env", 16384),
            ("grub/grubenv", 1024),
            ("grub/A long name.cfg", 70_000),
            ("none", 0),
        )
    }
    run("mmd", "-i", image, "::grub")
    for name, data in files.items():
        (tmp_path / "file").write_bytes(data)
        run("mcopy", "-i", image, tmp_path / "file", f"::{name}")
    run("mdel", "-i", image, "::none")
    fat = Fat(reader(image))
    assert {name: fat.file(name) for name in files} == {**files, "none": None}
    assert fat.file("GRUB/GRUBENV") == files["grub/grubenv"]
    assert fat.file("grub") is None and fat.file("uboot.env/x") is None


def test_what_is_no_fat_is_refused(tmp_path):
    with pytest.raises(NotFat):
        Fat(reader(sized(tmp_path / "empty", MIB)))


def test_the_checksum_is_castagnolis():
    assert crc32c(0xFFFFFFFF, b"123456789") ^ 0xFFFFFFFF == 0xE3069283  # the check value of CRC-32C
