from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.boot_environments import SECTOR, make_grub

from bootloader_env import grub_format as fmt
from bootloader_env.errors import BootEnvError
from bootloader_env.grub import GrubStore, filesystem

MOUNTS = """\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
30 22 8:1 / /boot/efi rw shared:2 master:3 - vfat /dev/sda1 rw
31 22 8:3 / /boot/my\\040disk rw - exfat /dev/sdb1 rw
32 22 8:4 / /over rw - vfat /dev/sdc1 rw
33 22 8:5 / /over rw - ext4 /dev/sdd1 rw
34 22 8:6 / /boot/ef rw - xfs /dev/sde1 rw
broken line
"""


def code_of(call):
    with pytest.raises(BootEnvError) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize("in_place", [False, True])
def test_the_block_keeps_its_size_its_owner_and_its_mode(tmp_path, in_place):
    path = make_grub(tmp_path)
    os.chmod(path, 0o640)
    os.chown(path, 12, 34)
    GrubStore(str(path), in_place=in_place).update(lambda now: {"ORDER": "A B"})
    status = path.stat()
    assert (status.st_size, status.st_mode & 0o7777, status.st_uid, status.st_gid) == (1024, 0o640, 12, 34)
    assert os.listdir(tmp_path) == ["grubenv"]


def test_the_file_is_replaced_where_rename_is_atomic_and_overwritten_on_fat(tmp_path):
    path = make_grub(tmp_path)
    inode = path.stat().st_ino
    (tmp_path / "mounts").write_text(f"1 0 8:1 / {tmp_path} rw - vfat /dev/sda1 rw\n")
    GrubStore(str(path), mountinfo=str(tmp_path / "mounts")).update(lambda now: {"a": "1"})
    assert path.stat().st_ino == inode
    GrubStore(str(path)).update(lambda now: {"a": "2"})
    assert path.stat().st_ino != inode
    assert GrubStore(str(path)).load()["a"] == "2"


def test_a_symbolic_link_stays_and_its_target_is_changed(tmp_path):
    path = make_grub(tmp_path)
    link = tmp_path / "link"
    link.symlink_to("grubenv")
    GrubStore(str(link)).update(lambda now: {"a": "1"})
    assert link.is_symlink()
    assert GrubStore(str(path)).load() == {"a": "1"}


def test_the_leftover_of_a_power_cut_does_not_matter(tmp_path):
    path = make_grub(tmp_path)
    (tmp_path / ".grubenv.new").write_bytes(b"half")
    GrubStore(str(path)).update(lambda now: {"a": "1"})
    assert os.listdir(tmp_path) == ["grubenv"]


@pytest.mark.parametrize("content", [b"", b"\0" * 1024, b"garbage" * 100, b"# GRUB Environment Blo"])
def test_a_block_without_its_header_is_refused_and_not_touched(tmp_path, content):
    path = tmp_path / "grubenv"
    path.write_bytes(content)
    store = GrubStore(str(path))
    assert code_of(store.load) == "bootenv.invalid"
    assert code_of(lambda: store.update(lambda now: {"a": "1"})) == "bootenv.invalid"
    assert path.read_bytes() == content


@pytest.mark.req("S08")
@pytest.mark.parametrize("in_place", [False, True])
def test_a_block_that_grub_reads_and_cannot_store_into_is_written_anew_even_if_nothing_changes(tmp_path, in_place):
    path = make_grub(tmp_path)
    path.write_bytes((fmt.HEADER + b"A_LEFT=3\n").ljust(512, b"#") + bytes(range(256)) * 2)
    one_boot = ["grub-editenv", str(path), "set", "A_LEFT=2"]
    assert subprocess.run(one_boot, capture_output=True, check=False).returncode != 0, "GRUB's own code refuses it"
    assert GrubStore(str(path), in_place=in_place).update(lambda now: {"A_LEFT": "3"})
    subprocess.run(one_boot, check=True)
    assert GrubStore(str(path)).load()["A_LEFT"] == "2"


def test_a_missing_block_is_named_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(BootEnvError) as caught:
        GrubStore(str(tmp_path / "grubenv")).load()
    assert caught.value.code == "bootenv.missing"
    assert "create" in caught.value.resolution
    assert os.listdir(tmp_path) == []


def test_something_that_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "grubenv")
    assert code_of(GrubStore(str(tmp_path / "grubenv")).load) == "bootenv.invalid"


@pytest.mark.parametrize("in_place", [False, True])
def test_a_full_block_is_refused_and_nothing_is_written(tmp_path, in_place):
    path = make_grub(tmp_path)
    before = path.read_bytes()
    store = GrubStore(str(path), in_place=in_place)
    assert code_of(lambda: store.update(lambda now: {"a": "x" * 1000})) == "bootenv.full"
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["grubenv"]


@pytest.mark.req("S08", "T26")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    others=st.dictionaries(st.sampled_from("abcdef"), st.text("xyz\\\n", max_size=120), max_size=5), first=st.booleans()
)
def test_a_torn_write_in_place_never_mixes_our_variables(tmp_path, others, first):
    path = tmp_path / "torn"
    ours = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "0", "B_TRY": "0"}
    theirs = fmt.edited((), dict(others))
    path.write_bytes(fmt.encode((*fmt.edited((), dict(ours)), *theirs), fmt.SIZE))
    store = GrubStore(str(path), in_place=True)
    old = path.read_bytes()
    new_values = {**ours, "ORDER": "B A", "B_OK": "1", "OTA_TRIAL": "id" * 20}
    store.update(lambda now: dict(new_values))
    new = path.read_bytes()
    path.write_bytes(new[:SECTOR] + old[SECTOR:] if first else old[:SECTOR] + new[SECTOR:])
    found = store.load()
    assert {name: found.get(name) for name in new_values} == (new_values if first else {**ours, "OTA_TRIAL": None})


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/boot/grub/grubenv", "ext4"),
        ("/boot/efi/grubenv", "vfat"),
        ("/boot/efi", "vfat"),
        ("/boot/efigrub/grubenv", "ext4"),
        ("/boot/my disk/grubenv", "exfat"),
        ("/over/grubenv", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_longest_and_last_mount_point(tmp_path, path, kind):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert filesystem(path, str(tmp_path / "mounts")) == kind


def test_an_unknown_file_system_is_an_error_and_no_guess(tmp_path):
    path = make_grub(tmp_path)
    (tmp_path / "mounts").write_text("")
    store = GrubStore(str(path), mountinfo=str(tmp_path / "mounts"))
    assert code_of(lambda: store.update(lambda now: {"a": "1"})) == "bootenv.io"
    store = GrubStore(str(path), mountinfo=str(tmp_path / "none"))
    assert code_of(lambda: store.update(lambda now: {"a": "1"})) == "bootenv.io"
