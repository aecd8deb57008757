"""Puts the files of a bundle side by side, as ``ota-bundle create`` wants them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

from ota_layer.bundle_plan import UNPACKERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ota_layer.bundle_plan import Source

_PIECE = 1024 * 1024


def collect(sources: Sequence[Source], places: Sequence[Path], target: Path, path: str) -> None:
    """Copies, moves and unpacks.

    Args:
        sources: the files.
        places: where each is looked for, in this order.
        target: the directory of the bundle.
        path: where programs that unpack are found, as in PATH.

    Raises:
        FileNotFoundError: a file is in none of the places.
        subprocess.CalledProcessError: one could not be unpacked.
    """
    for source in sources:
        origin = _found(source.origin, places)
        out = target / source.target
        if source.unpack:
            with out.open("wb") as file:
                subprocess.run([*UNPACKERS[source.unpack], str(origin)], stdout=file, check=True, env={"PATH": path})
        elif source.offset:
            with origin.open("rb") as file, out.open("wb") as moved:
                moved.write(bytes(max(source.offset, 0)))
                file.seek(max(-source.offset, 0))
                shutil.copyfileobj(file, moved, _PIECE)
        else:
            shutil.copyfile(origin, out)
        out.chmod(0o755 if source.program else 0o644)


def digest_of(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _found(name: str, places: Sequence[Path]) -> Path:
    for place in places:
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(f"{name} is in none of {', '.join(map(str, places))}")
