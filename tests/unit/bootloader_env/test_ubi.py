"""The U-Boot environment in UBI volumes: in memory, and the way to a volume through a copy of sysfs."""

from __future__ import annotations

import os

import pytest
from support.flash import Bench, MemoryVolume, Power

from bootloader_env import media
from bootloader_env.errors import BootEnvError
from bootloader_env.flash_devices import UbiVolume
from bootloader_env.fwenv_config import Copy
from bootloader_env.ubi import UbiMedium, VolumeInfo
from bootloader_env.uboot import UbootStore
from bootloader_env.uboot_format import encode


def code_of(call) -> str:
    with pytest.raises(BootEnvError) as caught:
        call()
    assert caught.value.resolution
    return caught.value.code


def test_a_copy_that_fits_into_one_block_is_exchanged_atomically():
    volume = MemoryVolume(Power())
    here = UbiMedium(Copy("/dev/ubi0_0", 0, 0x1000), "ubi0_0", volume)
    here.write(b"x" * 0x1000)
    assert (here.read(), volume.exchanges, volume.updates) == (b"x" * 0x1000, 1, 0)


@pytest.mark.parametrize(("size", "dynamic", "damaged"), [(0x2000, True, False), (64, False, False), (64, True, True)])
def test_a_larger_copy_a_static_volume_and_a_damaged_one_are_updated_as_a_whole(size, dynamic, damaged):
    volume = MemoryVolume(Power(), dynamic=dynamic)
    volume.damaged = damaged
    here = UbiMedium(Copy("/dev/ubi0_0", 0, size), "ubi0_0", volume)
    here.write(b"x" * size)
    assert (here.read(), volume.exchanges, volume.updates) == (b"x" * size, 0, 1)


def test_an_interrupted_update_leaves_the_other_volume_and_is_mended_by_the_next_write(tmp_path):
    here = Bench("ubi", str(tmp_path / "lock"))
    here.fill(encode((b"a=1",), here.size, flags=3), encode((b"a=0",), here.size, flags=2))
    here.volumes[1].damaged = True  # as fw_setenv or U-Boot leave it
    assert here.store.load() == {"a": "1"}
    here.store.update(lambda now: {"a": "2"})
    assert (here.store.load(), here.volumes[1].damaged) == ({"a": "2"}, False)
    here.volumes[0].damaged = here.volumes[1].damaged = True
    assert code_of(here.store.load) == "bootenv.invalid"


def test_a_copy_that_does_not_fit_is_refused():
    for values in ((0, 0x2001), (64, 64)):
        assert (
            code_of(lambda v=values: UbiMedium(Copy("/d", *v), "u", MemoryVolume(Power()))) == "bootenv.config-invalid"
        )


def test_two_copies_in_one_volume_are_refused(tmp_path):
    volume = MemoryVolume(Power())
    copies = (Copy("/dev/ubi0_0", 0, 64), Copy("/dev/ubi0:env", 0, 64))
    store = UbootStore(copies, lock=str(tmp_path / "l"), open_medium=lambda copy: UbiMedium(copy, "ubi0_0", volume))
    assert code_of(store.load) == "bootenv.config-invalid"


@pytest.fixture
def sysfs(tmp_path):
    """UBI device 3 on mtd5 with the volumes env and redund, and UBI device 0 on mtd1."""
    for name, attributes in {
        "ubi0": {"mtd_num": "1\n"},
        "ubi0_0": {"name": "other\n"},
        "ubi3": {"mtd_num": "5\n"},
        "ubi3_0": {"name": "env\n"},
        "ubi3_12": {
            "name": "redund\n", "type": "dynamic\n", "usable_eb_size": "126976\n", "reserved_ebs": "2\n",
            "upd_marker": "0\n", "corrupted": "0\n",
        },
    }.items():  # fmt: skip
        folder = tmp_path / "class/ubi" / name
        folder.mkdir(parents=True)
        for attribute, text in attributes.items():
            (folder / attribute).write_text(text)
    return tmp_path


@pytest.mark.parametrize("device", ["/dev/ubi3:redund", "/dev/mtd5:redund"])
def test_a_volume_is_found_by_its_name(sysfs, device):
    with pytest.raises(FileNotFoundError) as caught:  # there is no such device here: this is what is opened
        media.open_medium(Copy(device, 0, 64), str(sysfs))
    assert caught.value.filename == "/dev/ubi3_12"


@pytest.mark.parametrize(
    "device", ["/dev/ubi3:other", "/dev/ubi1:env", "/dev/mtd1:env", "/dev/mtd2:env", "/dev/ubi3:*"]
)
def test_a_volume_that_is_not_there_is_refused_and_nothing_is_attached(sysfs, device):
    assert code_of(lambda: media.open_medium(Copy(device, 0, 64), str(sysfs))) == "bootenv.ubi-missing"


def test_what_a_volume_is_like_comes_from_sysfs(sysfs):
    home = sysfs / "class/ubi/ubi3_12"
    assert UbiVolume("/dev/ubi3_12", str(home)).info() == VolumeInfo(True, 126976, 253952, False)
    (home / "upd_marker").write_text("1\n")
    (home / "type").write_text("static\n")
    assert UbiVolume("/dev/ubi3_12", str(home)).info() == VolumeInfo(False, 126976, 253952, True)


@pytest.mark.root
@pytest.mark.parametrize(("subsystem", "kind"), [("mtd", "ENOTTY"), ("ubi", "UbiMedium"), ("misc", "unsupported")])
def test_a_character_device_is_known_by_its_subsystem_and_not_by_its_name(sysfs, tmp_path, subsystem, kind):
    null = os.stat("/dev/null").st_rdev
    node = tmp_path / "env"
    os.mknod(node, 0o600 | 0o020000, null)
    home = sysfs / "class/ubi/ubi3_12"
    (sysfs / "bus" / subsystem).mkdir(parents=True)
    (home / "subsystem").symlink_to(sysfs / "bus" / subsystem)
    (sysfs / "dev/char").mkdir(parents=True)
    (sysfs / f"dev/char/{os.major(null)}:{os.minor(null)}").symlink_to(home)

    def opened():
        return media.open_medium(Copy(str(node), 0, 64), str(sysfs))

    if kind == "ENOTTY":
        with pytest.raises(OSError, match="Inappropriate ioctl"):
            opened()
    elif kind == "unsupported":
        assert code_of(opened) == "bootenv.config-unsupported"
    else:
        assert (type(opened()).__name__, opened().span.device) == ("UbiMedium", "ubi3_12")
