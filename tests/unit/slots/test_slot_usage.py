"""Promises of the look at what is in use, on a made-up /proc and /sys. The real ones: tests/integration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slots.usage import Identity, in_use, mount_point, write_protected

VDA, VDA2, VDA3 = (Identity(os.makedev(254, minor), 0, 0) for minor in (0, 2, 3))


@pytest.fixture
def where(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("")
    (tmp_path / "proc/swaps").write_text("Filename\tType\tSize\tUsed\tPriority\n")
    links = tmp_path / "sys/dev/block"
    links.mkdir(parents=True)
    (tmp_path / "sys/block").mkdir()
    for minor, name in ((0, "vda"), (2, "vda/vda2"), (3, "vda/vda3")):
        folder = tmp_path / "sys/devices" / name
        (folder / "holders").mkdir(parents=True)
        (folder / "dev").write_text(f"254:{minor}\n")
        (folder / "ro").write_text("1\n" if minor == 3 else "0\n")
        if minor:
            (folder / "partition").write_text(f"{minor}\n")
        (links / f"254:{minor}").symlink_to(folder)
    return {"proc": str(tmp_path / "proc"), "sysfs": str(tmp_path / "sys")}


def mount(where: dict[str, str], line: str) -> None:
    Path(where["proc"], "self/mountinfo").write_text(line + "\n")


def test_a_device_that_nobody_uses_is_free(where: dict[str, str]) -> None:
    assert in_use(VDA2, **where) == ""


def test_a_mount_is_seen_by_number_with_its_path_in_plain_letters(where: dict[str, str]) -> None:
    mount(where, r"36 35 254:2 / /mnt/my\040disk rw,noatime shared:1 - ext4 /dev/root rw")
    assert in_use(VDA2, **where) == "vda2 is mounted on /mnt/my disk"


def test_the_other_partition_of_a_disk_in_use_is_free(where: dict[str, str]) -> None:
    mount(where, "36 35 254:2 / / rw - ext4 /dev/root rw")
    assert in_use(VDA3, **where) == ""


def test_the_disk_around_a_mounted_partition_is_in_use(where: dict[str, str]) -> None:
    mount(where, "36 35 254:2 / / rw - ext4 /dev/root rw")
    assert in_use(VDA, **where) == "vda2 is mounted on /"


def test_a_partition_of_a_mounted_disk_is_in_use(where: dict[str, str]) -> None:
    mount(where, "36 35 254:0 / /data rw - ext4 /dev/vda rw")
    assert in_use(VDA2, **where) == "vda is mounted on /data"


def test_a_mount_is_seen_by_its_source_when_the_number_is_no_device(where: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "image file"
    file.touch()
    mount(where, f"36 35 0:44 / /mnt rw - btrfs {str(file).replace(' ', chr(92) + '040')} rw")
    assert in_use(Identity.of(file.stat()), **where) == "mounted on /mnt"


def test_a_swap_file_is_in_use(where: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "swap"
    file.touch()
    with Path(where["proc"], "swaps").open("a") as swaps:
        swaps.write(f"{file}\tfile\t1024\t0\t-2\n")
    assert in_use(Identity.of(file.stat()), **where) == "swap space"


def test_a_member_of_a_mapped_device_is_in_use(where: dict[str, str]) -> None:
    Path(where["sysfs"], "dev/block/254:2/holders/dm-0").touch()
    assert in_use(VDA2, **where) == "vda2 is part of dm-0"


def test_a_write_protected_device_is_recognised(where: dict[str, str], tmp_path: Path) -> None:
    assert write_protected(VDA3, where["sysfs"])
    assert not write_protected(VDA2, where["sysfs"])
    assert not write_protected(Identity.of(tmp_path.stat()), where["sysfs"])


@pytest.mark.parametrize(
    "line", ["", "36", "36 35 254:2 / /mnt rw ext4", "a b c d e - f", "36 35 x:y / / rw - ext4 /dev/x"]
)
def test_odd_lines_of_the_mount_table_do_no_harm(where: dict[str, str], line: str) -> None:
    mount(where, line)
    assert in_use(VDA2, **where) == ""


def test_an_unreadable_mount_table_is_no_answer(where: dict[str, str]) -> None:
    Path(where["proc"], "self/mountinfo").unlink()
    with pytest.raises(OSError):
        in_use(VDA2, **where)


def test_an_endless_mount_table_is_no_answer(where: dict[str, str]) -> None:
    mount(where, "36 35 0:2 / / rw - proc proc rw\n" * 200_000)
    with pytest.raises(OSError):
        in_use(VDA2, **where)


def test_the_first_mount_point_of_a_device_is_told(where: dict[str, str]) -> None:
    first, second = "254:2 / /mnt/my\\040disk rw - ext4 /dev/root rw", "254:2 / /again rw - ext4 /dev/root rw"
    mount(where, f"36 35 {first}\n37 35 {second}")
    assert (mount_point(VDA2, **where), mount_point(VDA3, **where)) == ("/mnt/my disk", "")
