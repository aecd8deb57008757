"""What goes into a bundle: a draft of the manifest, and files with the names that they get there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent.bundle.keyfile import MAX_SIZE as MAX_MANIFEST
from agent.bundle.keyfile import read_keyfile
from agent.bundle.manifest import Format, Image, Manifest, parse_draft, require_complete
from agent.bundle.verify import MANIFEST
from agent.bundler.faults import bad_content
from agent.bundler.image_types import check_type

HASH_INDEX = "block-hash-index"
_ADAPTIVE = (HASH_INDEX,)


@dataclass(frozen=True, slots=True)
class Content:
    """Checked as far as possible before anything is read.

    Args:
        draft: without digests, sizes and the hash tree.
        files: by name, in the order of the names; without the manifest and what is generated.
        format: what the manifest asks for, None when it says nothing.
    """

    draft: Manifest
    files: Mapping[str, Path]
    format: Format | None = None


def read_directory(directory: str | os.PathLike[str]) -> Content:
    """Takes a directory that holds ``manifest.raucm`` and the images, as for ``rauc bundle``.

    Raises:
        BuildError: ``build.content-invalid``.
        BundleError: ``bundle.manifest-invalid``, ``bundle.manifest-too-large``.
    """
    folder = Path(directory)
    try:
        names = os.listdir(folder)
        if MANIFEST not in names:
            raise bad_content(f"{folder} holds no {MANIFEST}")
        with (folder / MANIFEST).open("rb") as file:
            text = file.read(MAX_MANIFEST + 1)
    except OSError as error:
        raise bad_content(str(error)) from error
    draft = parse_draft(text)
    content = checked(draft, [folder / name for name in names if name != MANIFEST])
    return replace(content, format=draft.bundle_format if "format" in read_keyfile(text).get("bundle", {}) else None)


def checked(draft: Manifest, paths: Iterable[Path]) -> Content:
    """Returns a draft and its files when they fit together.

    Args:
        draft: generated values in it are dropped.
        paths: each goes to the top directory of the bundle, under its own name.

    Raises:
        BuildError: ``build.content-invalid``.
        BundleError: ``bundle.manifest-invalid``.
    """
    images = tuple(replace(each, sha256="", size=0) for each in draft.images)
    draft = replace(draft, verity_hash=b"", verity_salt=b"", verity_size=0, crypt_key=b"", images=images)
    nameless = tuple(replace(each, filename="") for each in images)
    require_complete(replace(draft, bundle_format="plain", images=nameless))  # all but what is generated
    files: dict[str, Path] = {}
    for path in sorted(paths, key=lambda each: each.name):
        if files.setdefault(path.name, path) != path:
            raise bad_content(f"two files are named {path.name}", "rename one: in the bundle they lie side by side")
        _check_file(path)
    for image in images:
        check_type(image)
        for method in image.adaptive:
            if method not in _ADAPTIVE:
                raise bad_content(f"[{image.group}] adaptive={method} is unknown", f"use {', '.join(_ADAPTIVE)}")
        if image.adaptive:
            files.pop(index_name(image), None)  # a stale one, as `rauc bundle` leaves it in its input
    for group, name in _named(draft):
        if name not in files:
            raise bad_content(f"[{group}] there is no file {name}")
    for program in draft.programs:
        if not os.access(files[program], os.X_OK):
            raise bad_content(
                f"{program} is not executable, and the manifest wants it to be run", f"chmod 755 {program}"
            )
    return Content(draft, files)


def index_name(image: Image) -> str:
    """Where RAUC looks for the digests of an image's blocks."""
    return f"{image.filename}.{HASH_INDEX}"


def _named(draft: Manifest) -> Iterable[tuple[str, str]]:
    pairs = [(image.group, image.filename) for image in draft.images]
    pairs += [("hooks", draft.hook_filename), ("handler", draft.handler_filename)]
    return [(group, name) for group, name in pairs if name]


def _check_file(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise bad_content(str(error)) from error
    if not stat.S_ISREG(mode):
        raise bad_content(
            f"{path.name} is {_kind(mode)}, not a regular file",
            "put the files themselves side by side: links and devices would not mean the same on the device, and images "
            "and hooks are only looked for in the top directory",
        )
    if not path.name.isprintable() or path.name.startswith(".rauc-"):
        raise bad_content(f"{path.name!r} is no name for a file in a bundle", "use printable names, without '.rauc-'")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link", stat.S_IFBLK: "a block device"}
    return kinds.get(stat.S_IFMT(mode), "something else")
