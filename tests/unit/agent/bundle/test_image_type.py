"""The type of an image by its name, as RAUC tells it, for every pattern of its table."""

from __future__ import annotations

import pytest

from agent.bundle.image_type import image_type
from agent.bundle.manifest import Image

NAMES = {
    "a.img": "raw", "a.ext4": "ext4", "a.vfat": "vfat", "a.squashfs": "squashfs", "a.squashfs-xz": "squashfs",
    "a.ubifs": "ubifs", "a.erofs": "erofs", "a.tar": "tar", "a.tar.gz": "tar", "a.tar.zst": "tar", "a.tgz": "tar",
    "a.tarball": "tar", "a.tar.img": "tar", "a.catar": "catar", "a.caidx": "caidx", "a.img.caibx": "raw-caibx",
    "a.squashfs-zstd.caibx": "squashfs-caibx", "a.ext4.caibx": "ext4-caibx", "a.wic": "", "img": "", "": "",
    "A.IMG": "", "a.img.gz": "",
}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_a_name_tells_the_type(name: str, kind: str) -> None:
    assert image_type(Image("rootfs", None, name)) == kind


def test_what_the_manifest_says_counts_more_than_the_name() -> None:
    assert image_type(Image("rootfs", None, "a.tar.gz", type="raw")) == "raw"
    assert image_type(Image("rootfs", None, "", type="emptyfs")) == "emptyfs"
