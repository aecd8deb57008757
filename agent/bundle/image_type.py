"""What kind of image a file of a bundle is: what its manifest says, else what its name tells. Pure.

Source: ``ext_type_map`` in RAUC's ``src/update_handler.c``; the order decides. ``*.erofs`` is ours.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from agent.bundle.manifest import Image

_BY_NAME = (
    ("*.ext4.caibx", "ext4-caibx"),
    ("*.vfat.caibx", "vfat-caibx"),
    ("*.ubifs.caibx", "ubifs-caibx"),
    ("*.img.caibx", "raw-caibx"),
    ("*.squashfs.caibx", "squashfs-caibx"),
    ("*.squashfs-*.caibx", "squashfs-caibx"),
    ("*.catar", "catar"),
    ("*.caidx", "caidx"),
    ("*.tar*", "tar"),
    ("*.tgz", "tar"),
    ("*.ext4", "ext4"),
    ("*.vfat", "vfat"),
    ("*.img", "raw"),
    ("*.squashfs-*", "squashfs"),
    ("*.squashfs", "squashfs"),
    ("*.ubifs", "ubifs"),
    ("*.erofs", "erofs"),
)


def image_type(image: Image) -> str:
    """The type of an image in RAUC's words; empty when neither its manifest nor its name tells."""
    return image.type or next((kind for pattern, kind in _BY_NAME if fnmatchcase(image.filename, pattern)), "")
