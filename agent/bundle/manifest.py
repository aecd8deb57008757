"""The manifest of a bundle as a frozen value, and back to text.

A manifest is strict: a group or a key that is not known refuses the bundle, because its maker meant something that we
would not do. Only ``[meta.LABEL]`` is free. The tables below are the whole vocabulary (RAUC's, up to version 1.16; the
image type ``erofs`` is ours).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, cast

from agent.bundle.feature_level import check_feature_level
from agent.bundle.keyfile import invalid, join_list, read_keyfile, split_list, write_keyfile
from agent.errors import BundleError

Format = Literal["plain", "verity", "crypt"]

FORMATS = ("plain", "verity", "crypt")
MAX_IMAGE_SIZE = 1 << 44  # bytes; what ext4 can hold in one file
VERITY_BLOCK = 4096

_GROUPS: dict[str, tuple[str, ...]] = {
    "update": ("compatible", "version", "description", "build", "min-rauc-version"),
    "bundle": ("format",),
    "hooks": ("filename", "hooks"),
    "handler": ("filename", "args"),
}
_BUNDLE_KEYS: dict[Format, tuple[str, ...]] = {  # RAUC knows each key only in the formats that need it
    "plain": (),
    "verity": ("verity-hash", "verity-salt", "verity-size"),
    "crypt": ("verity-hash", "verity-salt", "verity-size", "crypt-key"),
}
_IMAGE_KEYS = ("filename", "sha256", "size", "type", "hooks", "adaptive")
_ARTIFACT_KEYS = ("convert", "converted")  # since RAUC 1.13; the file itself may then be missing from the payload
_IMAGE_LEGACY = ("version", "description", "build")  # RAUC accepts and ignores them
_IMAGE_TYPES = (
    *("raw", "ext4", "vfat", "squashfs", "erofs", "ubifs", "tar", "emptyfs", "catar", "caidx"),
    *(f"{each}-caibx" for each in ("raw", "ext4", "vfat", "squashfs", "ubifs")),
)
_BUNDLE_HOOKS = ("install-check",)
_IMAGE_HOOKS = ("pre-install", "install", "post-install")
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_SLOT_CLASS = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class Image:
    """One file of the bundle and the class of slots that it is for.

    Args:
        slot_class: as in ``[image.CLASS]``.
        variant: as in ``[image.CLASS.VARIANT]``, None for the default.
        filename: a name in the top directory of the payload; empty only for the type ``emptyfs`` and for images that
            an ``install`` hook brings itself.
        sha256: lower case hexadecimal digest of the file; empty only in a draft.
        size: bytes of the file; meaningful only together with ``sha256``.
        type: what the image is, when the manifest says so.
        hooks: slot hooks that the maker wants.
        adaptive: methods for fetching only what changed; one that is not known is left unused, as in RAUC.
    """

    slot_class: str
    variant: str | None
    filename: str
    sha256: str = ""
    size: int = 0
    type: str | None = None
    hooks: tuple[str, ...] = ()
    adaptive: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The name of its group in the manifest."""
        return f"image.{self.slot_class}" + (f".{self.variant}" if self.variant else "")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says about itself. Texts that are not given are empty."""

    compatible: str
    version: str = ""
    description: str = ""
    build: str = ""
    min_rauc_version: str = ""
    bundle_format: Format = "plain"
    verity_hash: bytes = b""
    verity_salt: bytes = b""
    verity_size: int = 0
    crypt_key: bytes = b""
    images: tuple[Image, ...] = ()
    hooks: tuple[str, ...] = ()
    hook_filename: str = ""
    handler_filename: str = ""
    handler_args: str = ""
    rollout: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    meta: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def programs(self) -> tuple[str, ...]:
        """Files of the bundle that it wants to be run."""
        return tuple(name for name in (self.hook_filename, self.handler_filename) if name)


def parse_manifest(data: bytes) -> Manifest:
    """Reads a manifest that must be complete, as a signed one is.

    Raises:
        BundleError: ``bundle.manifest-invalid``, ``bundle.manifest-too-large``, ``bundle.needs-newer``.
    """
    manifest = parse_draft(data)
    require_complete(manifest)
    return manifest


def parse_draft(data: bytes) -> Manifest:
    """Reads a manifest in which generated values (digests, sizes, the hash tree) may still be missing.

    Raises:
        BundleError: ``bundle.manifest-invalid``, ``bundle.manifest-too-large``.
    """
    groups = read_keyfile(data)
    update, bundle = groups.get("update", {}), groups.get("bundle", {})
    hooks, handler = groups.get("hooks", {}), groups.get("handler", {})
    bundle_format = _format(bundle.get("format", "plain"))
    images: list[Image] = []
    meta: dict[str, Mapping[str, str]] = {}
    for name, pairs in groups.items():
        if name.startswith("image."):
            images.append(_image(name, pairs))
        elif name.startswith("meta."):
            meta[_meta_label(name, pairs)] = MappingProxyType(pairs)
        elif name != "rollout":
            _check_known(name, pairs, _BUNDLE_KEYS[bundle_format] if name == "bundle" else ())
    if "compatible" not in update:
        raise invalid("[update] compatible is missing")
    if handler and "filename" not in handler:
        raise invalid("[handler] filename is missing")
    return Manifest(
        compatible=_line(update, "compatible"),
        version=_line(update, "version"),
        description=update.get("description", ""),
        build=_line(update, "build"),
        min_rauc_version=_line(update, "min-rauc-version"),
        bundle_format=bundle_format,
        verity_hash=_hex(bundle, "verity-hash", 32),
        verity_salt=_hex(bundle, "verity-salt", 32),
        verity_size=_verity_size(bundle),
        crypt_key=_hex(bundle, "crypt-key", 32),
        images=tuple(images),
        hooks=_known_items("hooks", "hooks", split_list(hooks.get("hooks", "")), _BUNDLE_HOOKS),
        hook_filename=_filename("hooks", hooks),
        handler_filename=_filename("handler", handler),
        handler_args=handler.get("args", ""),
        rollout=MappingProxyType(groups.get("rollout", {})),
        meta=MappingProxyType(meta),
    )


def require_complete(manifest: Manifest) -> None:
    """Checks that everything is there that protects the payload, and that we know all that the maker counts on.

    Raises:
        BundleError: ``bundle.manifest-invalid``, ``bundle.needs-newer``.
    """
    for image in manifest.images:
        if image.filename and not image.sha256:
            raise invalid(f"[{image.group}] lacks sha256 or size")
    if manifest.min_rauc_version:
        check_feature_level(manifest.min_rauc_version)
    if manifest.bundle_format != "plain" and not (
        manifest.verity_hash and manifest.verity_salt and manifest.verity_size
    ):
        raise invalid("[bundle] lacks verity-hash, verity-salt or verity-size")
    if manifest.bundle_format == "crypt" and not manifest.crypt_key:
        raise invalid("[bundle] lacks crypt-key")
    if (manifest.hooks or any(image.hooks for image in manifest.images)) and not manifest.hook_filename:
        raise invalid("hooks are wanted, but [hooks] filename is missing")


def dump_manifest(manifest: Manifest) -> bytes:
    """Writes a manifest; ``parse_draft`` returns an equal one."""
    groups: list[tuple[str, Mapping[str, str]]] = [
        (
            "update",
            _given(
                ("compatible", manifest.compatible),
                ("version", manifest.version),
                ("description", manifest.description),
                ("build", manifest.build),
                ("min-rauc-version", manifest.min_rauc_version),
            ),
        ),
        (
            "bundle",
            _given(
                ("format", "" if manifest.bundle_format == "plain" else manifest.bundle_format),
                ("verity-hash", manifest.verity_hash.hex()),
                ("verity-salt", manifest.verity_salt.hex()),
                ("verity-size", str(manifest.verity_size or "")),
                ("crypt-key", manifest.crypt_key.hex()),
            ),
        ),
        ("hooks", _given(("filename", manifest.hook_filename), ("hooks", join_list(manifest.hooks)))),
        ("handler", _given(("filename", manifest.handler_filename), ("args", manifest.handler_args))),
        *((image.group, _image_pairs(image)) for image in manifest.images),
        ("rollout", manifest.rollout),
        *((f"meta.{label}", pairs) for label, pairs in manifest.meta.items()),
    ]
    return write_keyfile((name, pairs) for name, pairs in groups if pairs or name.startswith(("image.", "meta.")))


def _image_pairs(image: Image) -> dict[str, str]:
    return _given(
        ("filename", image.filename),
        ("sha256", image.sha256),
        ("size", str(image.size) if image.sha256 else ""),
        ("type", image.type or ""),
        ("hooks", join_list(image.hooks)),
        ("adaptive", join_list(image.adaptive)),
    )


def _given(*pairs: tuple[str, str]) -> dict[str, str]:
    return {key: value for key, value in pairs if value}


def _image(group: str, pairs: Mapping[str, str]) -> Image:
    _, slot_class, *rest = group.split(".", 2)
    variant = rest[0] if rest else None
    converted = [key for key in _ARTIFACT_KEYS if key in pairs]
    if "/" in slot_class or converted:
        raise BundleError(
            "bundle.artifacts-unsupported",
            "the bundle installs artifacts, which are not supported",
            details=f"[{group}] {' '.join(converted)}"[:300].rstrip(),
            resolution="build a bundle with images for slots only",
        )
    if not _SLOT_CLASS.fullmatch(slot_class) or variant == "":
        raise invalid(f"[{group}] is no [image.CLASS] or [image.CLASS.VARIANT]")
    for key in pairs:
        if key not in _IMAGE_KEYS + _IMAGE_LEGACY:
            raise _unknown(f"[{group}]: the key", key, _IMAGE_KEYS)
    hooks = _known_items(group, "hooks", split_list(pairs.get("hooks", "")), _IMAGE_HOOKS)
    adaptive = _words(group, "adaptive", pairs)
    kind = _line(pairs, "type") or None
    if kind and kind not in _IMAGE_TYPES and "install" not in hooks:
        raise _unknown(f"[{group}] type:", kind, _IMAGE_TYPES)
    filename = _filename(group, pairs)
    if kind == "emptyfs" and filename:
        raise invalid(f"[{group}] filename is not for emptyfs")
    if not filename and (adaptive or (kind != "emptyfs" and "install" not in hooks)):
        raise invalid(f"[{group}] filename is missing")
    sha256 = _hex(pairs, "sha256", 32).hex()
    if bool(sha256) != ("size" in pairs):
        raise invalid(f"[{group}] must have sha256 and size together")
    return Image(
        slot_class=slot_class,
        variant=variant,
        filename=filename,
        sha256=sha256,
        size=_number(pairs["size"], f"[{group}] size", MAX_IMAGE_SIZE) if sha256 else 0,
        type=kind,
        hooks=hooks,
        adaptive=adaptive,
    )


def _filename(group: str, pairs: Mapping[str, str]) -> str:
    """A name in the top directory of the payload: it must not lead anywhere else."""
    name = pairs.get("filename", "")
    harmful = (
        "/" in name or name in (".", "..", "manifest.raucm") or name.startswith(".rauc-") or not name.isprintable()
    )
    if harmful or len(name.encode()) > 255:
        raise invalid(f"[{group}] filename {name[:80]!r} is not the name of a file beside the manifest")
    return name


def _meta_label(group: str, pairs: Mapping[str, str]) -> str:
    label = group.removeprefix("meta.")
    for name in (label, *pairs):
        if not _WORD.fullmatch(name):
            raise invalid(f"[{group}]: {name[:80]!r} may hold only letters, digits, '_' and '-'")
    return label


def _check_known(group: str, pairs: Mapping[str, str], further: tuple[str, ...]) -> None:
    if group not in _GROUPS:
        raise _unknown("the group", group, (*_GROUPS, "image.CLASS", "meta.LABEL"))
    known = _GROUPS[group] + further
    for key in pairs:
        if key not in known:
            raise _unknown(f"[{group}]: the key", key, known)


def _unknown(what: str, name: str, known: Iterable[str]) -> BundleError:
    import difflib  # only what is wrong needs it

    close = difflib.get_close_matches(name[:80], list(known), n=1)
    meant = f"did you mean '{close[0]}'? " if close else ""
    return invalid(
        f"{what} {name[:80]!r} is unknown",
        resolution=f"{meant}correct the manifest, or put what is only information into [meta.LABEL]",
    )


def _known_items(group: str, key: str, items: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    for item in items:
        if item not in known:
            raise _unknown(f"[{group}] {key}:", item, known)
    return items


def _words(group: str, key: str, pairs: Mapping[str, str]) -> tuple[str, ...]:
    items = split_list(pairs.get(key, ""))
    for item in items:
        if not _WORD.fullmatch(item):
            raise invalid(f"[{group}] {key}: {item[:80]!r} may hold only letters, digits, '_' and '-'")
    return items


def _line(pairs: Mapping[str, str], key: str) -> str:
    """A text that ends up in logs and in comparisons: one printable line."""
    text = pairs.get(key, "")
    if not text.isprintable() or len(text) > 1024:
        raise invalid(f"{key} must be one line of at most 1024 printable characters")
    return text


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise _unknown("[bundle] format:", name, FORMATS)
    return cast("Format", name)


def _hex(pairs: Mapping[str, str], key: str, length: int) -> bytes:
    text = pairs.get(key)
    if text is None:
        return b""
    if len(text) != 2 * length or not _HEX.fullmatch(text):
        raise invalid(f"{key} must be {2 * length} hexadecimal digits")
    return bytes.fromhex(text)


def _verity_size(bundle: Mapping[str, str]) -> int:
    if "verity-size" not in bundle:
        return 0
    size = _number(bundle["verity-size"], "[bundle] verity-size", MAX_IMAGE_SIZE)
    if size % VERITY_BLOCK:
        raise invalid(f"[bundle] verity-size {size} is no multiple of {VERITY_BLOCK}")
    return size


def _number(text: str, what: str, largest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text) or not 0 < int(text) <= largest:
        raise invalid(f"{what} must be a number from 1 to {largest}")
    return int(text)
