"""A manifest from options of the command line, for bundles without a content directory."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from agent.bundle.keyfile import write_keyfile
from agent.bundle.manifest import parse_draft
from agent.bundler.content import Content, checked
from agent.bundler.faults import BuildError

_UPDATE = ("compatible", "version", "description", "build")
_IMAGE = ("type", "adaptive")


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """Adds the options that stand for a manifest; ``content_of`` reads them."""
    found = parser.add_argument_group("a manifest from options, instead of DIR")
    found.add_argument("--compatible", metavar="TEXT", help="which devices the bundle is for")
    found.add_argument("--version", metavar="TEXT", help="of the update")
    found.add_argument("--description", metavar="TEXT", help="of the update, for people")
    found.add_argument("--build", metavar="TEXT", help="when or where it was built")
    found.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="CLASS[.VARIANT]=FILE[,type=TYPE][,adaptive=METHOD]",
        help="an image and the class of slots that it is for; repeatable",
    )
    found.add_argument(
        "--meta", action="append", default=[], metavar="LABEL.KEY=VALUE", help="further information; repeatable"
    )


def are_given(options: argparse.Namespace) -> bool:
    """Says whether any of them is on the command line."""
    return bool(options.image or options.meta or any(getattr(options, key) is not None for key in _UPDATE))


def content_of(options: argparse.Namespace) -> Content:
    """Makes what the options describe.

    Raises:
        BuildError: ``sign.option-invalid``, ``build.content-invalid``.
        BundleError: ``bundle.manifest-invalid``: the rules of a manifest in a file.
    """
    update = {key: getattr(options, key) for key in _UPDATE if getattr(options, key) is not None}
    groups: dict[str, dict[str, str]] = {"update": update}
    paths: dict[Path, None] = {}
    for text in options.image:
        name, _, described = text.partition("=")
        file, *further = described.split(",")
        if not name or not file:
            raise _wrong("--image", text, "--image rootfs=rootfs.ext4,adaptive=block-hash-index")
        pairs = _pairs(text, further)
        _set_once(groups, f"image.{name}", {"filename": Path(file).name, **pairs}, "--image", text)
        paths[Path(file)] = None
    for text in options.meta:
        name, equals, value = text.partition("=")
        label, dot, key = name.partition(".")
        if not (equals and dot and value) or key in groups.get(f"meta.{label}", {}):
            raise _wrong("--meta", text, "--meta ota.epoch=3, each once")
        groups.setdefault(f"meta.{label}", {})[key] = value
    return checked(parse_draft(write_keyfile(groups.items())), paths)


def _pairs(text: str, further: list[str]) -> Mapping[str, str]:
    pairs = dict(each.partition("=")[::2] for each in further)
    if len(pairs) != len(further) or not all(key in _IMAGE and value for key, value in pairs.items()):
        raise _wrong("--image", text, "--image rootfs=rootfs.ext4,adaptive=block-hash-index")
    return pairs


def _set_once(groups: dict[str, dict[str, str]], name: str, pairs: dict[str, str], option: str, text: str) -> None:
    if name in groups:
        raise _wrong(option, text, "one --image for each class and variant")
    groups[name] = pairs


def _wrong(option: str, text: str, example: str) -> BuildError:
    return BuildError(
        "sign.option-invalid",
        "an option does not make sense",
        details=f"{option} {text[:200]!r}",
        resolution=f"write it as in: {example}",
    )
