"""The command ``ota-bundle extract``."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from agent.bundle.manifest import Image
from agent.bundle.verify import VerifiedBundle
from agent.bundler.describe import bundle_facts
from agent.bundler.faults import BuildError
from agent.bundler.opening import add_decryption, add_trust, checked, opened, trusting, verified
from agent.bundler.report import Report, Step
from agent.errors import BundleError

NAME = "extract"
ABOUT = "unpack a bundle after checking it"
EXAMPLES = """\
example:
  ota-bundle extract update.raucb out --keyring root.pem

OUT must not exist. Every byte is checked on the way; when a check fails, nothing is left there.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """See Command."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle")
    parser.add_argument("out", metavar="OUT", help="a directory; must not exist")
    add_trust(parser, required=True)
    add_decryption(parser)


def run(options: argparse.Namespace, step: Step, now: datetime) -> Report:
    """See Command."""
    target = Path(options.out)
    try:
        target.mkdir(mode=0o755)
    except FileExistsError as error:
        raise BuildError(
            "extract.exists",
            "the directory exists already",
            details=options.out,
            resolution="choose a directory that does not exist",
        ) from error
    written: list[str] = []
    try:
        with opened(options.bundle) as source:
            bundle = verified(source, trusting(options, now), step)
            images = {image.filename: image for image in bundle.manifest.images}
            for name in bundle.files.listdir():
                _safe_name(name)
                written.append(name)
                _write_file(target / name, name, bundle, images.get(name), step)
            facts = {**bundle_facts(bundle), "directory": options.out, "files": written}
    except BaseException:
        for name in written:
            with suppress(OSError):
                (target / name).unlink()
        with suppress(OSError):
            target.rmdir()
        raise
    return Report([f"{target / name}" for name in written], facts, bundle.warnings)


def _write_file(path: Path, name: str, bundle: VerifiedBundle, image: Image | None, step: Step) -> None:
    file = bundle.image_file(image) if image else bundle.files.open(name)
    pieces = checked(image, file, step) if image else file.blocks()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as out:
        for piece in pieces:
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())


def _safe_name(name: str) -> None:
    if "/" in name or name in ("", ".", "..") or not name.isprintable():
        raise BundleError(
            "bundle.squashfs-invalid", "a name in the bundle is not the name of a file", details=repr(name)
        )
