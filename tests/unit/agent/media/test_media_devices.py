"""Which devices are media, and what is on them by their magic numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from support.disks import run
from support.filesystems import make_images, sized

from agent.config_media import FILESYSTEMS
from agent.media.devices import Block, media
from agent.media.filesystems import HEAD, kind_of

OWN = frozenset({"/dev/mmcblk0"})
BLOCKS = (
    Block("/dev/mmcblk0", "/dev/mmcblk0", size=100, card=True),  # a board that boots from its card
    Block("/dev/mmcblk0p1", "/dev/mmcblk0", size=50, card=True),
    Block("/dev/mmcblk1", "/dev/mmcblk1", size=100, card=True),
    Block("/dev/mmcblk1p1", "/dev/mmcblk1", size=50, card=True),
    Block("/dev/mmcblk2", "/dev/mmcblk2", size=100),  # an eMMC
    Block("/dev/nvme0n1", "/dev/nvme0n1", size=100),
    Block("/dev/sda", "/dev/sda", ("/dev/sda", "/dev/disk/by-path/usb-1.2"), 100, "7", usb=True),
    Block("/dev/sda1", "/dev/sda", ("/dev/sda1",), 50, "7", usb=True),
    Block("/dev/sdb", "/dev/sdb", size=100, usb=True),  # a file system without partitions
    Block("/dev/sdc", "/dev/sdc", size=0, removable=True, usb=True),  # a reader without a card
    Block("/dev/sr0", "/dev/sr0", size=100, removable=True),
    Block("/dev/loop0", "/dev/loop0", size=100),
)


def nodes(*patterns: str) -> list[str]:
    return [block.node for block in media(BLOCKS, patterns, OWN)]


def test_sticks_and_cards_are_media_and_built_in_disks_are_not() -> None:
    assert nodes() == ["/dev/mmcblk1p1", "/dev/sda1", "/dev/sdb", "/dev/sr0"]


def test_the_disk_that_the_system_is_on_is_no_medium_even_if_it_is_named() -> None:
    assert nodes("/dev/mmcblk*") == ["/dev/mmcblk1p1", "/dev/mmcblk2"]


def test_a_pattern_for_a_socket_stands_for_every_partition_behind_it() -> None:
    assert nodes("/dev/disk/by-path/usb-1.2") == ["/dev/sda1"]


def test_with_patterns_what_a_device_says_of_itself_does_not_matter() -> None:
    assert nodes("/dev/loop*", "/dev/nvme0n1") == ["/dev/loop0", "/dev/nvme0n1"]


def test_of_one_disk_only_so_many_partitions_are_media_that_none_keeps_the_device_busy_for_hours() -> None:
    disk = Block("/dev/sda", "/dev/sda", size=1000, usb=True)
    parts = [Block(f"/dev/sda{number}", "/dev/sda", size=5, usb=True) for number in range(1, 129)]
    other = Block("/dev/sdb1", "/dev/sdb", size=5, usb=True)
    found = [block.node for block in media([disk, *parts, other], (), ())]
    assert found == [f"/dev/sda{number}" for number in range(1, 9)] + ["/dev/sdb1"]


def test_another_medium_in_the_same_reader_is_another_medium() -> None:
    one, two = (Block("/dev/sda1", "/dev/sda", sequence=number) for number in "78")
    assert one.key != two.key


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    directory = tmp_path_factory.mktemp("magic")
    made = dict(make_images(directory / "images"))
    for bits in (12, 16, 32):
        path = sized(directory / f"fat{bits}", 64 * 1024 * 1024)
        run("mkfs.vfat", "-F", str(bits), path)
        with path.open("rb") as file:
            made[f"fat{bits}"] = file.read(HEAD)
    for kind in ("ext2", "ext3"):
        path = sized(directory / kind, 4 * 1024 * 1024)
        run(f"mkfs.{kind}", "-q", "-F", path)
        made[kind] = path.read_bytes()
    return made


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ext4", "ext4"), ("ext3", "ext4"), ("ext2", "ext4"), ("vfat", "vfat"), ("fat12", "vfat"), ("fat16", "vfat"),
        ("fat32", "vfat"), ("squashfs", "squashfs"), ("erofs", "erofs"),
        ("raw", ""), ("tar", ""), ("ubifs", ""), ("emptyfs", ""),
    ],
)  # fmt: skip
def test_what_the_fields_own_programs_make_is_recognised(images: Mapping[str, bytes], name: str, kind: str) -> None:
    assert kind_of(images[name][:HEAD]) == kind


@pytest.mark.parametrize(
    ("offset", "magic", "kind"),
    [
        (3, b"EXFAT   ", "exfat"), (3, b"NTFS    ", "ntfs3"), (0x8001, b"CD001", "iso9660"),
        (0x8801, b"NSR02", "udf"), (0x9001, b"NSR03", "udf"),
    ],
)  # fmt: skip
def test_others_are_recognised_by_their_specification(offset: int, magic: bytes, kind: str) -> None:
    head = bytearray(HEAD)
    head[offset : offset + len(magic)] = magic
    assert kind_of(bytes(head)) == kind
    assert kind in FILESYSTEMS
    assert kind_of(bytes(head)[: offset + len(magic) - 1]) == "", "a device that ends before is none"


def test_the_leftover_of_a_fat_is_none() -> None:
    head = bytearray(HEAD)
    head[82:90] = b"FAT32   "
    assert kind_of(bytes(head)) == ""
