"""What the manifest of a bundle says, as plain values for programs."""

from __future__ import annotations

from agent.bundle.manifest import Image, Manifest


def manifest_facts(manifest: Manifest, size: int, manifest_hash: str) -> dict[str, object]:
    """The manifest in the shape of ``rauc info --output-format=json-2``, and ``size``, which is ours.

    What is not given is left out, as in ``r_manifest_to_dict`` of RAUC's ``src/manifest.c``.
    """
    facts: dict[str, object] = {
        "manifest-hash": manifest_hash,
        "update": _given(
            ("compatible", manifest.compatible),
            ("version", manifest.version),
            ("description", manifest.description),
            ("build", manifest.build),
        ),
        "bundle": _given(
            ("format", manifest.bundle_format),
            ("verity-hash", manifest.verity_hash.hex()),
            ("verity-salt", manifest.verity_salt.hex()),
            ("verity-size", manifest.verity_size),
        ),
    }
    if manifest.hook_filename:
        facts["hooks"] = {"filename": manifest.hook_filename, "hooks": list(manifest.hooks)}
    if manifest.handler_filename:
        facts["handler"] = _given(("filename", manifest.handler_filename), ("args", manifest.handler_args))
    facts["images"] = [_image_facts(image) for image in manifest.images]
    facts["meta"] = {label: dict(pairs) for label, pairs in manifest.meta.items()}
    facts["size"] = size
    return facts


def _image_facts(image: Image) -> dict[str, object]:
    return {
        **_given(
            ("slot-class", image.slot_class),
            ("variant", image.variant or ""),
            ("filename", image.filename),
            ("type", image.type or ""),
            ("checksum", image.sha256),
            ("size", image.size),
        ),
        "hooks": list(image.hooks),
        **({"adaptive": list(image.adaptive)} if image.adaptive else {}),
    }


def _given(*pairs: tuple[str, str | int]) -> dict[str, str | int]:
    return {key: value for key, value in pairs if value}
