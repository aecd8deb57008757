"""Everything that a bundle can be made of: the product that is tried in both directions with rauc."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from support.bundles import IMAGE_NAME, make_content, some_image

FORMATS = ("plain", "verity", "crypt")
KEYS = ("rsa2048", "rsa4096", "p256", "p384")
COMPRESSIONS = ("gzip", "xz", "zstd", "lz4")

FILES: dict[str, bytes] = {
    IMAGE_NAME: some_image(300_001),
    "another image, with spaces.img": some_image(131_072, seed=2),
    "notes.txt": b"hello\n",
    "empty": b"",
    f"{IMAGE_NAME}.block-hash-index": some_image(73 * 32, seed=3),
}
_EXTRA = """
[image.appfs]
filename=another image, with spaces.img

[meta.test]
why=both ways
"""


@dataclass(frozen=True)
class Case:
    """One way to make a bundle."""

    format: str
    key: str
    compression: str
    intermediate: bool

    @property
    def signer(self) -> str:
        """The name of the signer in ``pki.build.SPECS``."""
        name = "good" if self.key == "p256" else self.key
        return f"{name}-intermediate" if self.intermediate else name

    @property
    def encrypted(self) -> bool:
        """Whether the signature is encrypted, here for the signer itself."""
        return self.format == "crypt"

    def __str__(self) -> str:
        return f"{self.format}-{self.key}-{self.compression}-{'chain' if self.intermediate else 'direct'}"


CASES = tuple(itertools.starmap(Case, itertools.product(FORMATS, KEYS, COMPRESSIONS, (False, True))))


def write_content(folder: Path, case: Case) -> Path:
    """Writes a content directory with two images and further files."""
    content = make_content(
        folder, version="3", compatible="demo-board", image=FILES[IMAGE_NAME],
        extra=f"{_EXTRA}[bundle]\nformat={case.format}\n",
    )  # fmt: skip
    for name, data in FILES.items():
        (content / name).write_bytes(data)
    return content


def files_in(folder: Path) -> dict[str, bytes]:
    """The regular files of a directory, without the manifest."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.raucm"}
