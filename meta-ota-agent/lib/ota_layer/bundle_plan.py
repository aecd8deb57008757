"""A bundle as its recipe describes it: the manifest, and where each file of it comes from.

The variables are those of meta-rauc's bundle.bbclass with ``OTA_`` instead of ``RAUC_``; where ``OTA_X`` says nothing,
``RAUC_X`` counts. What can be known before anything is built is found out here, when the recipe is parsed.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ota_layer.sizes import offset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

SLOT_FLAGS = (
    "name", "type", "fstype", "imagetype", "file", "hooks", "adaptive", "rename", "offset", "depends", "convert", "unpack",
)  # fmt: skip
UNPACKERS: Mapping[str, tuple[str, ...]] = {
    "bz2": ("bzip2", "-dc"),
    "gz": ("gzip", "-dc"),
    "xz": ("xz", "-dc"),
    "zst": ("zstd", "-dc"),
}
_NATIVE = {"bz2": "bzip2-native", "gz": "gzip-native", "xz": "xz-native", "zst": "zstd-native"}
_TYPES = ("image", "kernel", "boot", "file", "none")


class Recipe:
    """Variables of a recipe, each under its name here or, failing that, under RAUC's.

    Args:
        get: the expanded value of a variable, or None.
        flags: the expanded flags of a variable.
    """

    def __init__(self, get: Callable[[str], str | None], flags: Callable[[str], Mapping[str, str]]) -> None:
        self._get = get
        self._flags = flags

    def plain(self, name: str) -> str:
        """A variable that is not ours, such as ``MACHINE``."""
        return self._get(name) or ""

    def value(self, name: str) -> str:
        """``OTA_name``, else ``RAUC_name``, else empty."""
        return self._get(f"OTA_{name}") or self._get(f"RAUC_{name}") or ""

    def flags(self, name: str) -> dict[str, str]:
        """The flags of ``OTA_name`` over those of ``RAUC_name``, without what is only documentation."""
        found = {**self._flags(f"RAUC_{name}"), **self._flags(f"OTA_{name}")}
        return {key: value for key, value in found.items() if key != "doc" and not key.startswith("_")}


@dataclass(frozen=True)
class Source:
    """A file of the bundle.

    Attributes:
        origin: its name below DEPLOY_DIR_IMAGE or UNPACKDIR.
        target: its name in the bundle.
        offset: zero bytes that are put before it; negative: bytes that are left out.
        unpack: how it is compressed now, a key of ``UNPACKERS``; empty: it stays as it is.
        program: whether it must be executable.
    """

    origin: str
    target: str
    offset: int = 0
    unpack: str = ""
    program: bool = False


@dataclass
class Plan:
    """What the recipe comes to.

    Attributes:
        manifest: its text. The last section is ``[meta.cra]``, if there is one.
        sources: everything beside the manifest.
        tasks: ``RECIPE:do_TASK`` that must be done before.
        natives: recipes of programs that unpack.
        images: image recipe and base name of its files, the first slot's first.
        warnings: what is probably not meant.
    """

    manifest: str = ""
    sources: list[Source] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    natives: list[str] = field(default_factory=list)
    images: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan(recipe: Recipe) -> Plan:
    """Reads the variables of a recipe.

    Raises:
        ValueError: one of them makes no sense, or asks for what ota-agent refuses; the text names it.
    """
    made = Plan()
    if recipe.value("CASYNC_BUNDLE") not in ("", "0"):
        raise ValueError("OTA_CASYNC_BUNDLE: casync bundles are not supported; a verity bundle is streamed")
    sections = [*_head(recipe, made)]
    for slot in recipe.value("BUNDLE_SLOTS").split():
        sections.append(_slot(recipe, slot, made))
    if not made.sources and not any("[image." in each for each in sections):
        raise ValueError("OTA_BUNDLE_SLOTS: expected the classes of the slots that the bundle is for, got nothing")
    for file in recipe.value("BUNDLE_EXTRA_FILES").split():
        made.sources.append(Source(file, posixpath.basename(file.rstrip("/"))))
    _need_different_names(made.sources)
    for each in recipe.value("BUNDLE_EXTRA_DEPENDS").split():
        made.tasks.append(each if ":" in each else f"{each}:do_deploy")
    labels = recipe.value("META_SECTIONS").split()
    for label in sorted(labels, key=lambda each: each == "cra"):
        pairs = recipe.flags(f"META_{label}")
        if label == "cra":
            sections.append(recipe.value("MANIFEST_EXTRA_LINES").replace("\\n", "\n"))
        sections.append(_section(f"meta.{label}", pairs.items()))
    if "cra" not in labels:
        sections.append(recipe.value("MANIFEST_EXTRA_LINES").replace("\\n", "\n"))
    made.manifest = "\n".join(each for each in sections if each)
    return made


def with_digests(manifest: str, digests: Mapping[str, str]) -> str:
    """Adds digests to ``[meta.cra]``, which becomes the last section if there is none.

    Args:
        manifest: from ``plan``.
        digests: key to hexadecimal digest.
    """
    lines = "".join(f"{key}={digest}\n" for key, digest in digests.items())
    if not lines:
        return manifest
    return manifest + lines if "[meta.cra]\n" in manifest else f"{manifest}\n[meta.cra]\n{lines}"


def _head(recipe: Recipe, made: Plan) -> Sequence[str]:
    compatible = recipe.value("BUNDLE_COMPATIBLE")
    if not compatible:
        raise ValueError("OTA_BUNDLE_COMPATIBLE: expected the name of the device, got nothing")
    update = [("compatible", compatible)]
    update += [(key, recipe.value(f"BUNDLE_{key.upper()}")) for key in ("version", "description", "build")]
    sections = [_section("update", [(key, value) for key, value in update if value])]
    bundle_format = recipe.value("BUNDLE_FORMAT") or "verity"
    if bundle_format not in ("plain", "verity", "crypt"):
        raise ValueError(f"OTA_BUNDLE_FORMAT: expected plain, verity or crypt, got {bundle_format!r}")
    if bundle_format != "plain":
        sections.append(_section("bundle", [("format", bundle_format)]))
    hooks = recipe.flags("BUNDLE_HOOKS")
    if "file" in hooks:
        name = posixpath.basename(hooks["file"])
        made.sources.append(Source(hooks["file"], name, program=True))
        pairs = [("filename", name), *([("hooks", hooks["hooks"])] if "hooks" in hooks else [])]
        sections.append(_section("hooks", pairs))
    elif "hooks" in hooks:
        made.warnings.append("OTA_BUNDLE_HOOKS[hooks] is set without OTA_BUNDLE_HOOKS[file]")
    return sections


def _slot(recipe: Recipe, slot: str, made: Plan) -> str:
    flags = {key: value for key, value in recipe.flags(f"SLOT_{slot}").items() if key in SLOT_FLAGS}
    if "/" in slot or "convert" in flags:
        raise ValueError(f"OTA_SLOT_{slot}: artifacts are not supported by ota-agent")
    if "hooks" in flags and "file" not in recipe.flags("BUNDLE_HOOKS"):
        made.warnings.append(f"OTA_SLOT_{slot}[hooks] is set without OTA_BUNDLE_HOOKS[file]")
    pairs = [(key, flags[key]) for key in ("hooks", "adaptive") if key in flags]
    if "imagetype" in flags:
        pairs.append(("type", flags["imagetype"]))
    kind = flags.get("type", "image")
    if kind not in _TYPES:
        raise ValueError(f"OTA_SLOT_{slot}[type]: expected one of {', '.join(_TYPES)}, got {kind!r}")
    if flags.get("imagetype") != "emptyfs" and kind != "none":
        source = _file(recipe, slot, kind, flags, made)
        made.sources.append(source)
        pairs.append(("filename", source.target))
    return _section(f"image.{flags.get('name', slot)}", pairs)


def _file(recipe: Recipe, slot: str, kind: str, flags: Mapping[str, str], made: Plan) -> Source:
    builder = recipe.value(f"SLOT_{slot}")
    if not builder:
        raise ValueError(f"OTA_SLOT_{slot}: expected the name of a recipe, got nothing")
    if "depends" in flags:
        made.tasks += flags["depends"].split()
    else:
        made.tasks.append(f"{builder}:{'do_image_complete' if kind == 'image' else 'do_deploy'}")
    if kind == "image":
        base = builder + recipe.plain("IMAGE_MACHINE_SUFFIX") + recipe.plain("IMAGE_NAME_SUFFIX")
        made.images.append((slot, builder, base))
        origin = name = flags.get("file", f"{base}.{flags.get('fstype') or recipe.value('IMAGE_FSTYPE')}")
    elif kind == "kernel":
        origin = flags.get("file", f"{recipe.plain('KERNEL_IMAGETYPE') or 'zImage'}-{recipe.plain('MACHINE')}.bin")
        name = f"{origin}.img"
    elif kind == "boot":
        origin = name = flags.get("file", "barebox.img")
    else:
        origin = flags.get("file", "")
        if not origin:
            raise ValueError(f"OTA_SLOT_{slot}[file]: expected the name of a file, got nothing")
        name = f"{origin}.img"
    unpack = flags.get("unpack", "")
    if unpack:
        if unpack not in UNPACKERS:
            raise ValueError(f"OTA_SLOT_{slot}[unpack]: expected one of {', '.join(UNPACKERS)}, got {unpack!r}")
        made.natives.append(_NATIVE[unpack])
        name = "".join(name.rsplit(f".{unpack}", 1))
    moved = offset(flags["offset"]) if kind == "boot" and flags.get("offset") else 0
    if moved and unpack:
        raise ValueError(f"OTA_SLOT_{slot}: [offset] and [unpack] exclude each other")
    return Source(origin, posixpath.basename(flags.get("rename", name)), moved, unpack)


def _need_different_names(sources: Iterable[Source]) -> None:
    """Files of a bundle lie side by side; the same one may be in several slots."""
    found: dict[str, Source] = {}
    for source in sources:
        if found.setdefault(source.target, source) != source:
            raise ValueError(
                f"{source.origin}: the bundle has another file {source.target}; [rename] gives a slot's another name"
            )


def _section(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    lines = [f"[{name}]"]
    for key, value in pairs:
        if "\n" in value or not value.strip():
            raise ValueError(f"[{name}] {key}: expected one line of text, got {value!r}")
        lines.append(f"{key}={value.strip()}")
    return "\n".join(lines) + "\n"
