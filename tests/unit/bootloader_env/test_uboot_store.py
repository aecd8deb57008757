from __future__ import annotations

import fcntl
import os
import random
import subprocess

import pytest
from support.boot_environments import SIZE, make_uboot, torn, uboot_store

from bootloader_env.errors import BootEnvError
from bootloader_env.fwenv_config import Copy
from bootloader_env.media import FileMedium
from bootloader_env.uboot import UbootStore


def code_of(call):
    with pytest.raises(BootEnvError) as caught:
        call()
    return caught.value.code


def both(folder):
    data = (folder / "env.bin").read_bytes()
    return data[:SIZE], data[SIZE:]


def test_each_write_goes_to_the_copy_that_does_not_count(tmp_path):
    store = uboot_store(tmp_path)
    for step in range(600):  # across the wrap of the flags from 255 to 0, twice
        before = both(tmp_path)
        assert store.update(lambda now, step=step: {"step": str(step)})
        after = both(tmp_path)
        changed = [n for n in (0, 1) if before[n] != after[n]]
        assert changed == [(step + 1) % 2], "equal flags at first: the first copy counts"
        assert store.load()["step"] == str(step)


def test_the_other_variables_keep_their_bytes_and_their_order(tmp_path):
    text = "zz=1\nbootcmd=run a; run b\nBOOT_ORDER=A B\n.flags=a:sr\naa=2\n"
    store = UbootStore(make_uboot(tmp_path, text), lock=str(tmp_path / "lock"))
    store.update(lambda now: {"BOOT_ORDER": "B A", "NEW": "x"})
    assert list(store.load().items()) == [
        ("zz", "1"), ("bootcmd", "run a; run b"), ("BOOT_ORDER", "B A"), (".flags", "a:sr"), ("aa", "2"), ("NEW", "x"),
    ]  # fmt: skip


@pytest.mark.req("S08", "S33", "T26")
def test_no_torn_write_leaves_anything_but_the_old_or_the_new_environment(tmp_path):
    store = uboot_store(tmp_path)
    chooser = random.Random(3)
    for step in range(4):
        old, before = (tmp_path / "env.bin").read_bytes(), store.load()
        store.update(lambda now, step=step: {f"v{step}": chooser.randbytes(900).hex()})
        new, after = (tmp_path / "env.bin").read_bytes(), store.load()
        for state in torn(old, new, chooser, 150):
            (tmp_path / "env.bin").write_bytes(state)
            assert store.load() in (before, after)
        (tmp_path / "env.bin").write_bytes(new)


@pytest.mark.req("T26")
def test_garbage_in_the_copy_being_written_leaves_the_other_and_is_repaired_by_the_next_write(tmp_path):
    store = uboot_store(tmp_path)
    store.update(lambda now: {"a": "1"})
    second = both(tmp_path)[1]
    (tmp_path / "env.bin").write_bytes(os.urandom(SIZE) + second)
    assert store.load()["a"] == "1"
    store.update(lambda now: {"a": "2"})
    (tmp_path / "env.bin").write_bytes(both(tmp_path)[0] + os.urandom(SIZE))
    assert store.load()["a"] == "2"


@pytest.mark.req("T26")
def test_two_invalid_copies_are_refused_and_never_written(tmp_path):
    store = uboot_store(tmp_path)
    (tmp_path / "env.bin").write_bytes(b"\xff" * 2 * SIZE)
    assert code_of(store.load) == "bootenv.invalid"
    assert code_of(lambda: store.update(lambda now: {"a": "1"})) == "bootenv.invalid"
    assert (tmp_path / "env.bin").read_bytes() == b"\xff" * 2 * SIZE


def test_a_full_environment_is_refused_and_nothing_is_written(tmp_path):
    store = uboot_store(tmp_path)
    before = both(tmp_path)
    assert code_of(lambda: store.update(lambda now: {"a": "x" * SIZE})) == "bootenv.full"
    assert both(tmp_path) == before


def test_a_single_copy_is_refused_unless_it_is_allowed(tmp_path):
    copy = make_uboot(tmp_path)[0]
    assert code_of(lambda: UbootStore((copy,))) == "bootenv.not-redundant"
    argv = ["mkenvimage", "-s", hex(SIZE), "-o", str(tmp_path / "one.bin"), str(tmp_path / "env.txt")]
    subprocess.run(argv, check=True)
    one = Copy(str(tmp_path / "one.bin"), 0, SIZE)
    store = UbootStore((one,), lock=str(tmp_path / "lock"), allow_single=True)
    store.update(lambda now: {"a": "1"})
    assert dict(store.load()) == {"bootcmd": "run distro", "a": "1"}


@pytest.mark.parametrize("offset", [-2 * SIZE, 0])
def test_an_offset_can_count_from_the_end(tmp_path, offset):
    make_uboot(tmp_path)
    path = str(tmp_path / "env.bin")
    store = UbootStore((Copy(path, offset, SIZE), Copy(path, -SIZE, SIZE)), lock=str(tmp_path / "lock"))
    store.update(lambda now: {"a": "1"})
    assert store.load()["a"] == "1"


def test_copies_that_overlap_are_refused_whatever_they_are_called(tmp_path):
    make_uboot(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "env.bin")
    for device, offset in (("link", 0), ("link", SIZE - 1), ("env.bin", -SIZE - 1)):
        copies = (Copy(str(tmp_path / "env.bin"), 0, SIZE), Copy(str(tmp_path / device), offset, SIZE))
        store = UbootStore(copies, lock=str(tmp_path / "lock"))
        with pytest.raises(BootEnvError, match="overlap") as caught:
            store.load()
        assert caught.value.code == "bootenv.config-invalid"


def test_a_block_device_on_top_of_flash_is_refused_because_it_erases_as_it_likes(tmp_path):
    make_uboot(tmp_path)
    for name in ("mtdblock3", "ubiblock0_1"):
        (tmp_path / name).write_bytes((tmp_path / "env.bin").read_bytes())
        copies = (Copy(str(tmp_path / name), 0, SIZE), Copy(str(tmp_path / name), SIZE, SIZE))
        assert code_of(UbootStore(copies, lock=str(tmp_path / "lock")).load) == "bootenv.config-unsupported"


@pytest.mark.parametrize("offset", [1, 2 * SIZE, -SIZE + 1, -3 * SIZE])
def test_a_copy_outside_its_device_is_refused(tmp_path, offset):
    make_uboot(tmp_path)
    path = str(tmp_path / "env.bin")
    store = UbootStore(
        (Copy(path, 0, SIZE), Copy(path, SIZE + offset if offset > 0 else offset, SIZE)), lock=str(tmp_path / "l")
    )
    assert code_of(store.load) == "bootenv.config-invalid"
    assert (tmp_path / "env.bin").stat().st_size == 2 * SIZE


def test_a_missing_device_is_an_error_of_the_surroundings(tmp_path):
    missing = str(tmp_path / "none")
    store = UbootStore((Copy(missing, 0, SIZE), Copy(missing, SIZE, SIZE)), lock=str(tmp_path / "lock"))
    with pytest.raises(BootEnvError) as caught:
        store.load()
    assert (caught.value.code, caught.value.retryable) == ("bootenv.io", True)
    assert "none" in str(caught.value)
    assert not os.path.exists(missing)


def test_a_character_device_is_refused(tmp_path):
    store = UbootStore((Copy("/dev/zero", 0, SIZE), Copy("/dev/zero", SIZE, SIZE)), lock=str(tmp_path / "lock"))
    assert code_of(store.load) == "bootenv.config-unsupported"


def test_a_program_that_keeps_the_lock_delays_us_only_for_a_while(tmp_path):
    store = uboot_store(tmp_path, lock_timeout=0.2)
    fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(BootEnvError) as caught:
            store.update(lambda now: {"a": "1"})
        assert (caught.value.code, caught.value.retryable) == ("bootenv.locked", True)
    finally:
        os.close(fd)
    assert store.update(lambda now: {"a": "1"})


def test_a_lock_that_is_a_symbolic_link_is_not_followed(tmp_path):
    store = uboot_store(tmp_path)
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    assert code_of(store.load) == "bootenv.io"
    assert not (tmp_path / "victim").exists()


def test_the_boot_partition_of_an_emmc_is_unlocked_for_the_write_only(tmp_path):
    make_uboot(tmp_path)
    device = tmp_path / "mmcblk2boot1"
    (tmp_path / "env.bin").rename(device)
    switch = tmp_path / "sys/class/block/mmcblk2boot1/force_ro"
    switch.parent.mkdir(parents=True)
    switch.write_text("1\n")
    copies = (Copy(str(device), 0, SIZE), Copy(str(device), SIZE, SIZE))
    with FileMedium(copies[0], str(tmp_path / "sys"))._unprotected():
        assert switch.read_text() == "0"
    assert switch.read_text() == "1"
    stamp = switch.stat().st_mtime_ns
    store = UbootStore(
        copies, lock=str(tmp_path / "lock"), open_medium=lambda copy: FileMedium(copy, str(tmp_path / "sys"))
    )
    store.update(lambda now: {"a": "1"})
    assert store.load()["a"] == "1"
    assert switch.read_text() == "1"
    assert switch.stat().st_mtime_ns > stamp
