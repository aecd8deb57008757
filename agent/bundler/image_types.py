"""What an image is, by the end of its name, as RAUC knows it (``ext_type_map`` in its ``src/update_handler.c``)."""

from __future__ import annotations

from fnmatch import fnmatchcase

from agent.bundle.manifest import Image
from agent.bundler.faults import bad_content

_PATTERNS = (  # the first that matches counts
    ("*.tar*", "tar"),
    ("*.tgz", "tar"),
    ("*.ext4", "ext4"),
    ("*.vfat", "vfat"),
    ("*.img", "raw"),
    ("*.squashfs-*", "squashfs"),
    ("*.squashfs", "squashfs"),
    ("*.ubifs", "ubifs"),
)
_CASYNC = ("catar", "caidx", "caibx")


def check_type(image: Image) -> None:
    """Checks that devices will know what to do with an image.

    Raises:
        BuildError: ``build.content-invalid`` for a name that tells no type while the manifest tells none either, and for
            a type that does not exist. An ``install`` hook may bring anything.
    """
    if "install" in image.hooks:
        return
    if (image.type or image.filename).endswith(_CASYNC):
        raise bad_content(
            f"[{image.group}] {image.filename} is an index of casync",
            "use the image itself, and adaptive=block-hash-index to download only what changed",
        )
    if image.type is not None:
        return
    if not any(fnmatchcase(image.filename, pattern) for pattern, _ in _PATTERNS):
        raise bad_content(
            f"[{image.group}] the name {image.filename!r} does not tell what the image is",
            f"let it end as one of {', '.join(pattern for pattern, _ in _PATTERNS)} (*.img is a raw image); or say type=, "
            "which rauc before 1.15 refuses",
        )
