"""The files of a bundle for its programs, in a directory that only root may look into: no kernel mounts anything for it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.bundle.manifest import Image
from agent.bundle.squashfs import SquashFile
from agent.bundle.verify import VerifiedBundle
from agent.errors import BundleError, EnvironmentFault

_RESERVE = 16 * 1024 * 1024  # left free on the file system, for the state of everybody
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def unpacked(bundle: VerifiedBundle, images: Collection[Image], directory: Path) -> Iterator[Path]:
    """Unpacks what is no image, and these images; removes it all at the end.

    What an installer that was killed has left there is removed first. Every byte has passed the check of its block
    (``payload.py``), and each image is compared with its digest in the manifest.

    Args:
        bundle: only a verified one can be unpacked.
        images: those that a program has to see.
        directory: made, with a directory ``bundle`` in it.

    Yields:
        The path of ``bundle``.

    Raises:
        BundleError: ``bundle.file-not-regular``, ``bundle.image-digest`` and whatever reading the bundle raises.
        EnvironmentFault: ``storage.no-space``, ``storage.write-failed``.
    """
    target = directory / "bundle"
    try:
        try:
            remove(directory)
            directory.mkdir(mode=0o700)
            target.mkdir(mode=0o700)
            _fill(bundle, images, target)
        except OSError as error:
            raise EnvironmentFault(
                "storage.write-failed", "the files of the bundle cannot be stored for its programs", details=str(error)
            ) from error
        yield target
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # what remains is found again by the next one


def remove(directory: Path) -> None:
    """Removes what was unpacked; nothing happens when there is nothing."""
    if directory.exists():
        shutil.rmtree(directory)


def _fill(bundle: VerifiedBundle, images: Collection[Image], target: Path) -> None:
    wanted = {image.filename: image for image in images}
    left_out = {image.filename for image in bundle.manifest.images} - wanted.keys()
    files = {name: bundle.files.open(name) for name in bundle.files.listdir() if name not in left_out}
    needed, free = sum(file.size for file in files.values()) + _RESERVE, shutil.disk_usage(target).free
    if needed > free:
        raise EnvironmentFault(
            "storage.no-space", "there is no room for the files that the bundle's programs need", retryable=False,
            details=f"{needed} bytes are needed beside {target.parent}, {free} are free",
            resolution="free space there; an install hook or a handler needs its images unpacked, other hooks do not",
        )  # fmt: skip
    for name, file in files.items():
        digest = _copy(file, target / name)
        if name in wanted and digest != wanted[name].sha256:
            raise BundleError(
                "bundle.image-digest", "an image in the bundle has another digest than its manifest says",
                details=f"{name}: {digest[:16]}..., the manifest says {wanted[name].sha256[:16]}...",
                resolution="build the bundle again",
            )  # fmt: skip


def _copy(file: SquashFile, path: Path) -> str:
    digest = hashlib.sha256()
    fd = os.open(path, _CREATE, 0o600)
    with os.fdopen(fd, "wb") as out:
        for piece in file.blocks():
            digest.update(piece)
            out.write(piece)
        os.fchmod(fd, 0o500 if file.executable else 0o400)
    return digest.hexdigest()
