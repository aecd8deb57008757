"""Images of roots that dm-verity protects.

Behind the file system lie the hash of the tree's root, in a block of its own, and the tree. Nobody signs that hash here: this
is about media that rot, and updates of such slots. On a device the bootloader, or a signed initial RAM disk, knows it.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

BLOCK = 4096


def protect(image: Path) -> None:
    """Adds hash and tree to the image of a file system, which is whole blocks.

    Raises:
        RuntimeError: veritysetup says why.
    """
    size = image.stat().st_size
    with tempfile.NamedTemporaryFile(prefix="ota-verity-") as file:
        options = ["--no-superblock", "--salt=-", f"--hash-offset={size + BLOCK}", f"--root-hash-file={file.name}"]
        done = subprocess.run(
            ["veritysetup", "format", *options, image, image], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"veritysetup: {done.stderr}")
        root = Path(file.name).read_bytes().strip()
    with image.open("r+b") as whole:
        whole.seek(size)
        whole.write(root.ljust(BLOCK, b"\0"))
